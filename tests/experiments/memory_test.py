#!/usr/bin/env python3
"""The predicted memory holds: a sample of what memory_grid.py measures over more than a hundred configurations."""
import pathlib
import shutil
import tempfile
import unittest

from memory_grid import Grid
from program import PROGRAM

PLAIN = {"backend": "cpu", "threads": 2, "family": "llama", "layers": 2, "width": 512, "q_heads": 8, "kv_heads": 8,
         "window": 0, "precision": "f32", "residual": "f32", "length": 128, "batch": 1, "grain": 1,
         "documents": False, "dropout": 0.0, "recompute": "none", "fit": ""}


class Memory(unittest.TestCase):
    def setUp(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="fovea memory "))
        self.addCleanup(shutil.rmtree, folder)
        self.grid = Grid(PROGRAM, folder)

    def holds(self, **changes):
        predicted, measured = self.grid.measure({**PLAIN, **changes})
        self.assertGreater(predicted, 128 << 20)
        self.assertLess(abs(predicted / measured - 1), 0.1, f"{changes}: predicted {predicted}, measured {measured}")

    def test_of_weights(self):
        self.holds(layers=3)

    def test_of_activations(self):
        self.holds(width=128, length=256, batch=16, grain=16, layers=6, kv_heads=2, recompute="selective", threads=1)

    def test_of_rounded_activations(self):
        self.holds(width=256, length=256, batch=8, grain=8, layers=5, precision="bf16", recompute="every 2")

    def test_of_a_bound(self):
        self.holds(width=128, length=512, batch=4, grain=4, layers=8, fit="150 MiB")

    def test_of_scores_that_are_kept(self):
        self.holds(backend="naive", width=64, length=1024, batch=2, grain=2, layers=2, threads=1)


if __name__ == "__main__":
    unittest.main()
