#!/usr/bin/env python3
"""How well the predicted memory of a run holds: many configurations above 128 MiB, each in a process of its own.

    tests/experiments/memory_grid.py build/fovea --out results/memory-grid/grid.csv    # ten minutes on two cores
    tests/experiments/memory_grid.py build/fovea --runs 4                              # a sample

Every run takes two steps, two evaluations and two checkpoints, all of which belong to its peak.
"""
import argparse
import csv
import pathlib
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile

LEAST, MOST = 128, 420  # MiB predicted; more would only take longer
MOST_WORK = 120e9       # floating-point operations of a step
FIELDS = ("backend", "threads", "family", "layers", "width", "q_heads", "kv_heads", "window", "precision", "residual",
          "length", "batch", "grain", "documents", "dropout", "recompute", "fit")


def draw(random_numbers):
    """One configuration, whatever its size."""
    pick = random_numbers.choice
    q_heads = pick((4, 8, 12))
    point = {
        "backend": pick(("cpu", "cpu", "cpu", "cpu", "naive")),
        "threads": pick((1, 2, 2)),
        "family": pick(("llama", "llama", "mistral", "qwen3", "gpt2", "neox", "gemma2")),
        "layers": pick((2, 3, 4, 6, 8, 12)),
        "width": q_heads * pick((16, 32, 64)),
        "q_heads": q_heads,
        "kv_heads": q_heads // pick((1, 1, 2, 4)),
        "window": 0,
        "precision": pick(("f32", "f32", "bf16")),
        "residual": "f32",
        "length": pick((64, 96, 128, 200, 256, 512, 1024, 2048)),
        "grain": pick((1, 2, 4, 8, 16)),
        "documents": pick((False, False, False, True)),
        "dropout": pick((0.0, 0.0, 0.1)),
        "recompute": pick(("none", "none", "selective", "block", "every 2", "every 3", "fit")),
        "fit": "",
    }
    point["batch"] = point["grain"] * pick((1, 1, 2, 3))
    if point["family"] in ("gpt2", "neox"):  # whose heads are not grouped
        point["kv_heads"] = q_heads
    if point["family"] in ("mistral", "gemma2"):
        point["window"] = max(16, point["length"] // 4)
    if point["precision"] == "bf16":
        point["residual"] = pick(("f32", "bf16"))
    return point


def toml(point, corpus):
    steps = 2 * point["batch"] * point["length"]
    policy = ""
    if point["fit"]:
        policy = f'fit = "{point["fit"]}"'
    elif point["recompute"] != "fit":
        policy = f'recompute = "{point["recompute"]}"'
    return f"""[data]
corpus = "{corpus}"
cache = "{corpus.parent}/cache"
documents = {str(point["documents"]).lower()}
[model]
family = "{point["family"]}"
layers = {point["layers"]}
width = {point["width"]}
q_heads = {point["q_heads"]}
kv_heads = {point["kv_heads"]}
context = {point["length"]}
dropout = {point["dropout"]}
sliding_window = {point["window"]}
[train]
{policy}
tokens = {steps}
batch = {point["batch"]}
grain = {point["grain"]}
precision = "{point["precision"]}"
residual_dtype = "{point["residual"]}"
evaluate_every = 1
checkpoint_every = 1
[run]
backend = "{point["backend"]}"
"""


class Grid:
    def __init__(self, program, folder):
        self.program = program
        self.folder = folder
        self.corpus = folder / "corpus.txt"
        words = "in the beginning god created heaven and earth let there be light waters day night".split()
        text = random.Random(1)
        self.corpus.write_text("\n\n".join(" ".join(text.choice(words) for _ in range(40)) for _ in range(800)))

    def fovea(self, *words):
        return subprocess.run([self.program, *map(str, words)], cwd=self.folder, capture_output=True, text=True,
                              check=False)

    def config(self, point):
        path = self.folder / "point.toml"
        path.write_text(toml(point, self.corpus))
        return path

    def predicted(self, point):
        """MiB and FLOP of a step by `explain`; nothing where the configuration is refused."""
        said = self.fovea("explain", self.config(point), f"run.threads={point['threads']}").stdout
        memory = re.search(r"\n  memory +([\d.]+) (\w)iB", said)
        flops = re.search(r"training, per token +([\d.]+) (\w)FLOP", said)
        if not memory or not flops:
            return None
        scale = {"K": 1 / 1024, "M": 1, "G": 1024}[memory[2]]
        per_token = float(flops[1]) * {"k": 1e3, "M": 1e6, "G": 1e9}[flops[2]]
        return float(memory[1]) * scale, per_token * point["batch"] * point["length"]

    def points(self, seed):
        """Endless, those within the bounds."""
        numbers = random.Random(seed)
        while True:
            point = draw(numbers)
            part = numbers.choice((0.7, 0.85))
            if point["recompute"] == "fit":
                whole = self.predicted(point)
                if whole is None:
                    continue
                point["fit"] = f"{whole[0] * part:.0f} MiB"
            found = self.predicted(point)
            if found and LEAST < found[0] < MOST and found[1] < MOST_WORK:
                yield point

    def measure(self, point):
        """Predicted and measured bytes."""
        out = self.folder / "out"
        subprocess.run(["rm", "-rf", out], check=True)
        ran = self.fovea("run", self.config(point), "--out", out, "--threads", point["threads"], "--quiet")
        if ran.returncode != 0:
            raise RuntimeError(f"{point}: {ran.stderr}")
        [file] = out.glob("*/run.h5")
        return [int(number) for number in
                (dumped(file, "/memory/predicted"), dumped(file, "/memory/measured_peak"))]


def dumped(file, dataset):
    dump = subprocess.run(["h5dump", "-y", "-d", dataset, file], capture_output=True, text=True, check=True).stdout
    return re.search(r"DATA \{\s*(\S+)", dump)[1]


def provenance(program):
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return [*version.strip().splitlines(), f"{cpu[1] if cpu else 'unknown processor'}, {platform.system()}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=110)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, help="table to write, CSV")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="fovea-memory-") as folder:
        grid = Grid(options.program.resolve(), pathlib.Path(folder))
        for point, number in zip(grid.points(options.seed), range(options.runs)):
            predicted, measured = grid.measure(point)
            error = predicted / measured - 1
            rows.append([*(point[field] for field in FIELDS), predicted, measured, f"{100 * error:.2f}"])
            print(f"{number + 1:4} {predicted / 2**20:7.1f} {measured / 2**20:7.1f} MiB {100 * error:+6.2f} %  "
                  + " ".join(str(point[field]) for field in FIELDS), flush=True)
    errors = [abs(float(row[-1])) for row in rows]
    summary = (f"{len(rows)} runs: median error of the prediction {statistics.median(errors):.2f} %, "
               f"worst {max(errors):.2f} %")
    print(summary)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with options.out.open("w", newline="") as file:
            for line in (summary, *provenance(options.program)):
                file.write(f"# {line}\n")
            table = csv.writer(file, lineterminator="\n")
            table.writerow([*FIELDS, "predicted_bytes", "measured_bytes", "error_percent"])
            table.writerows(rows)
    return 0 if statistics.median(errors) < 3 and max(errors) < 10 else 1


if __name__ == "__main__":
    sys.exit(main())
