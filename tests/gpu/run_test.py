#!/usr/bin/env python3
"""tests/gpu/run on kits of shell scripts: what it reports of what programs say, and how it ends."""
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SELFTEST = "printf 'cuda\\n header\\n  rope  forward  ok\\n%s\\n' "
PASSES = "echo '[  PASSED  ] 3 tests.'"
FAILS = "echo '[  FAILED  ] Some.Test (4 ms)'; echo '[  PASSED  ] 2 tests.'; exit 1"
BENCH = """case "$*" in
  *--lines*) while read -r name _; do echo "{\\"name\\": \\"$name\\", \\"seconds\\": 0.001}"; done ;;
  *) echo '{"benchmarks": [{"name": "adamw/cuda/bf16/n1_c1", "seconds": 1e-3, "B/s": 1e12, "of_limit": 0.5}]}' ;;
esac"""


class Run(unittest.TestCase):
    def run_kit(self, scripts, *arguments):
        """Exit code, lines, and gpu.json of a run on a kit of these scripts."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            kit = folder / "kit"
            for name, text in scripts.items():
                path = kit / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"#!/bin/sh\n{text}\n")
                path.chmod(0o755)
            (kit / "peers").mkdir()
            shutil.copy(HERE.parent / "peers/cases.py", kit / "peers")
            with tarfile.open(folder / "kit.tar.xz", "w:xz", preset=0) as archive:
                archive.add(kit, ".")
            shutil.copy(HERE / "run", folder)
            done = subprocess.run([sys.executable, folder / "run", "--out", folder / "out", *arguments],
                                  capture_output=True, text=True, check=False)
            results = folder / "out/gpu.json"
            return (done.returncode, done.stdout.splitlines() + done.stderr.splitlines(),
                    json.loads(results.read_text()) if results.exists() else None)

    def test_all_well(self):
        code, lines, results = self.run_kit({"bin/fovea": SELFTEST + "'5 checks, 0 failed'", "tests/one": PASSES},
                                            "--only", "tests,selftest")
        self.assertEqual((code, lines[-1]), (0, "nothing was wrong"))
        self.assertEqual(results["tests"]["one"]["passed"], 3)
        self.assertIn("5 checks, 0 failed", "\n".join(lines))

    def test_what_fails_is_named(self):
        code, lines, results = self.run_kit(
            {"bin/fovea": SELFTEST + "'5 checks, 1 failed'; exit 1", "tests/good": PASSES, "tests/bad": FAILS},
            "--only", "tests,selftest")
        self.assertEqual((code, lines[-1]), (1, "wrong: fovea --version, bad, selftest"))
        self.assertEqual(results["tests"]["bad"]["failed"], ["Some.Test"])

    def test_attention_and_rows(self):
        code, lines, results = self.run_kit({"bin/fovea": "", "bin/fovea-bench": BENCH}, "--only", "attention,rows")
        self.assertEqual(code, 0)
        (row,) = (r for r in results["attention"] if r["case"] == "forward/b1_hq16_hkv16_q8192_kv8192_d64/full")
        self.assertEqual(row["flops"], 4 * 64 * 16 * 8192**2)
        self.assertEqual(row["seconds"]["cuda"], 0.001)
        self.assertIsNone(row["seconds"]["flash"])
        self.assertIn("attention_torch.py: absent", "\n".join(lines))
        self.assertEqual(results["rows"][0]["of_limit"], 0.5)

    def test_a_stage_that_breaks_leaves_the_others(self):
        code, lines, results = self.run_kit({"bin/fovea": "", "bin/fovea-bench": "echo nonsense", "tests/one": PASSES},
                                            "--only", "rows,tests")
        self.assertEqual((code, lines[-1]), (1, "wrong: rows"))
        self.assertEqual(results["tests"]["one"]["passed"], 3)

    def test_an_unknown_stage(self):
        code, lines, _ = self.run_kit({"bin/fovea": ""}, "--only", "speed")
        self.assertEqual(code, 2)
        self.assertIn("there is no stage speed", lines[-1])


if __name__ == "__main__":
    unittest.main()
