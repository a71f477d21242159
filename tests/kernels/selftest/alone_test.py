#!/usr/bin/env python3
"""A build of the self-test alone (-Dselftest_only=true) asks for nothing but fmt, Eigen and CUDA, and makes one program
of the same sources as the ordinary build, where that program is run.

    alone_test.py SOURCE_ROOT BUILD_ROOT
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD = map(pathlib.Path, sys.argv[1:3])


def programs(build):
    """Names of a build's programs with their sources, those that are made by the build aside."""
    text = subprocess.run(["meson", "introspect", "--targets", build], check=True, capture_output=True, text=True).stdout
    return {target["name"]: {source for part in target["target_sources"] for source in part.get("sources", [])}
            for target in json.loads(text) if target["type"] == "executable"}


class Alone(unittest.TestCase):
    def test_needs_little_and_is_the_program_that_is_tested(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(["meson", "setup", folder, SOURCE, "-Dselftest_only=true"], check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertEqual(done.returncode, 0, done.stdout)
            asked = set(re.findall(r"(?:Run-time dependency|Library) (\S+) found", done.stdout))
            self.assertEqual(asked - {"threads", "fmt", "eigen3", "dl", "cudart"}, set(), done.stdout)
            alone, ordinary = programs(folder), programs(BUILD)
        self.assertEqual(list(alone), ["fovea-selftest"])
        self.assertGreater(len(alone["fovea-selftest"]), 40)
        self.assertEqual(alone["fovea-selftest"], ordinary["fovea-selftest"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
