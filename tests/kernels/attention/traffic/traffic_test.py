#!/usr/bin/env python3
"""traffic_test.py PROGRAM: what attention's kernels move on the device, forward and backward in bf16.

Of each kernel shared memory's wavefronts and global memory's sectors, as tests/softgpu counts them, are at most 1.1
times what the same bytes need.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

MOST = 1.1
KINDS = ("shared_loads", "shared_stores", "global_loads", "global_stores")


def counters(*arguments):
    """Per kernel, what PROGRAM came to."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "counters.json")
        subprocess.run([PROGRAM, *arguments], check=True, env=os.environ | {"SOFTGPU_COUNTERS": str(path)})
        return json.loads(path.read_text(encoding="utf-8"))


class Traffic(unittest.TestCase):
    def check(self, dim, mask):
        kernels = counters(dim, dim, "512", "512", mask)
        for part in ("14forward_kernel", "15backward_kernel"):
            matrices = [values for name, values in kernels.items() if part in name]
            self.assertEqual(len(matrices), 1, part)
            self.assertGreater(matrices[0]["mma_flops"], 0, part)
            for kind in ("shared_loads", "global_loads", "global_stores"):
                self.assertGreater(matrices[0][kind]["ideal"], 0, f"{part} {kind}")
        for name, values in kernels.items():
            for kind in KINDS:
                actual, ideal = values[kind]["actual"], values[kind]["ideal"]
                self.assertLessEqual(actual, MOST * ideal, f"{kind} of {name}: {actual}, ideal {ideal}")

    def test_64_full(self):
        self.check("64", "full")

    def test_64_causal(self):
        self.check("64", "causal")

    def test_128_full(self):
        self.check("128", "full")

    def test_128_causal(self):
        self.check("128", "causal")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
