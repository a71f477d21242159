#!/usr/bin/env python3
"""count.py TESTLOG.json: prints "passed failed skipped" of one run of meson test.

A GoogleTest program counts by its cases, any other test as one. A program with a planted bug must turn red:
that it did is one test passed. A program that ended badly without a failed case (a crash, a time-out, a
sanitizer's report at exit) is one test failed.
"""
import json
import re
import sys

CASE = re.compile(r"^\[ *(OK|FAILED|SKIPPED) *\] .*\(\d+ ms\)$", re.MULTILINE)


def count(test):
    """(passed, failed, skipped) of one line of the log."""
    result = test["result"]
    if result in ("EXPECTEDFAIL", "UNEXPECTEDPASS"):
        return (1, 0, 0) if result == "EXPECTEDFAIL" else (0, 1, 0)
    cases = CASE.findall(test.get("stdout", ""))
    if not cases:
        return (int(result == "OK"), int(result not in ("OK", "SKIP")), int(result == "SKIP"))
    passed, failed, skipped = (cases.count(word) for word in ("OK", "FAILED", "SKIPPED"))
    return passed, failed or int(result != "OK"), skipped


def main():
    with open(sys.argv[1], encoding="utf-8") as log:
        counts = [count(json.loads(line)) for line in log]
    print(*(map(sum, zip(*counts)) if counts else (0, 0, 0)))


main()
