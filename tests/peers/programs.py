"""The programs that are timed in turns: each stays alive and answers one case per line."""
import json
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


class Answers:
    """A process that reads "NAME AMOUNT" and answers with a line of JSON."""

    def __init__(self, command):
        self.command = list(map(str, command))
        self.process = None

    def ask(self, name, amount):
        if self.process is None:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.process.stdin.write(f"{name} {amount}\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.process.wait()
            raise SystemExit(f"{self.command[0]} ended with {self.process.returncode} at {name}")
        return json.loads(line)

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def fovea_bench(build, threads):
    return Answers([pathlib.Path(build) / "kernels/bench/fovea-bench", "--lines", f"--threads={threads}"])


def torch_attention(python, threads):
    return Answers([python, HERE / "attention_torch.py", "--threads", threads])


def torch_training(python, threads):
    return Answers([python, HERE / "train_torch.py", "--threads", threads])


class FoveaTraining:
    """Steps of `fovea run` on tokens of no meaning; a step's time is what the run's journal says, without the first."""

    def __init__(self, build, threads):
        self.program, self.threads = pathlib.Path(build).resolve() / "fovea", threads
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fovea-training-"))

    def close(self):
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def tokens(self, case):
        """nanoGPT's format: tokens of 16 bits; enough for both splits, few enough to be evaluated at once."""
        file = self.folder / f"{case.vocab}_{case.length}.bin"
        if not file.exists():
            draw = random.Random(0)
            count = 40 * max(4096, case.length + 1)
            file.write_bytes(struct.pack(f"<{count}H", *(draw.randrange(case.vocab) for _ in range(count))))
        return file

    def settings(self, case, steps):
        return {"data.corpus": self.tokens(case), "data.vocab": case.vocab, "model.family": case.family,
                "model.layers": case.layers, "model.width": case.width, "model.q_heads": case.heads,
                "model.kv_heads": case.kv_heads, "model.context": case.length, "model.tie_embeddings": "yes",
                "train.batch": case.batch, "train.precision": case.dtype, "train.lr": 1e-4,
                "train.tokens": case.tokens() * steps}

    def ask(self, case, steps):
        out = self.folder / "run"
        shutil.rmtree(out, ignore_errors=True)
        (self.folder / "empty.toml").write_text("")
        settings = [f"{key}={value}" for key, value in self.settings(case, steps + 1).items()]
        subprocess.run([self.program, "run", self.folder / "empty.toml", "--out", out, "--quiet", "--threads",
                        str(self.threads), *settings], check=True)
        (journal,) = out.glob("*/journal.jsonl")
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        taken = sorted(case.tokens() / line["tokens_per_second"] for line in lines
                       if "tokens_per_second" in line and line["step"] > 1)
        return {"seconds": taken[len(taken) // 2], "least_seconds": taken[0], "calls": len(taken)}
