"""What the tests of the program share: running it, and reading what it wrote (by hdf5-tools)."""
import json
import math
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden"
PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else ROOT / "build/fovea"
DONE, FAILED, USAGE, INPUT, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 4, 75

TINY = """
[data]
corpus = "corpus.txt"
[model]
layers = 1
width = 16
q_heads = 4
context = 16
[train]
tokens = 4096    # 32 steps
batch = 8
lr = 5e-3
"""

GQA = TINY + """
[study]
kind = "gqa"
[gqa]
kv_heads = [2, 1]
inits = ["mean"]
alphas = [0, 0.1]
"""


def corpus():
    """80 kB of words: enough for both splits, the same every time."""
    draw = random.Random(1)
    words = "in the beginning god created heaven and earth let there be light waters day night".split()
    return " ".join(draw.choice(words) for _ in range(16000))


def values(file, dataset):
    """The numbers of a dataset, in C order."""
    dump = subprocess.run(["h5dump", "-y", "-w", "0", "-m", "%.17g", "-d", dataset, file], capture_output=True,
                          text=True, check=True).stdout
    data = re.search(r"DATA \{(.*?)\}", dump, re.DOTALL).group(1)
    return [float(number) for number in re.split(r"[,\s]+", data) if number]


def attribute(file, path):
    dump = subprocess.run(["h5dump", "-a", path, file], capture_output=True, text=True, check=True).stdout
    return re.search(r'\(0\): (.*)', dump).group(1).strip('"')


def furthest(x, y):
    assert len(x) == len(y)
    return max(0 if a == b else abs(a - b) for a, b in zip(x, y))


def largest(x):
    return max(abs(a) for a in x if math.isfinite(a))


class ProgramTest(unittest.TestCase):
    """A folder with a corpus and configurations, in which the program runs as a person would run it."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fovea program "))  # with a space
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "corpus.txt").write_text(corpus())
        (self.folder / "tiny.toml").write_text(TINY)
        (self.folder / "gqa.toml").write_text(GQA)

    def environment(self, **more):
        kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        # What is expected is the processor's: "auto" would take a GPU.
        return {**kept, "CUDA_VISIBLE_DEVICES": "", **more}

    def fovea(self, *words, code=DONE, **environment):
        """Runs it to its end, expects the exit code, and returns what it said."""
        result = subprocess.run([PROGRAM, *map(str, words)], cwd=self.folder, capture_output=True, text=True,
                                env=self.environment(**environment), timeout=120, check=False)
        self.assertEqual(result.returncode, code, f"{words}: {result.stdout}{result.stderr}")
        if code in (DONE, INTERRUPTED):
            self.assertEqual(result.stderr, "")
        return result

    def refused(self, code, *words):
        """The one line of a mistake."""
        result = self.fovea(*words, code=code)
        self.assertEqual(result.stdout, "", words)
        return self.one_line(result)

    def one_line(self, result):
        self.assertRegex(result.stderr, r"\Afovea: [^\n]+\n\Z")
        return result.stderr[len("fovea: "):-1]

    def start(self, *words, **environment):
        process = subprocess.Popen([PROGRAM, *map(str, words)], cwd=self.folder, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=self.environment(**environment))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def index(self, study):
        """study.json's runs by name."""
        runs = json.loads((self.folder / study / "study.json").read_text())["runs"]
        return {run["name"]: run for run in runs}

    def losses(self, study):
        """The final held-out loss of every run, by name."""
        return {name: values(self.folder / study / run["directory"] / "run.h5", "/final/loss")[0]
                for name, run in self.index(study).items()}
