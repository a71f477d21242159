"""The programs that are timed in turns: each stays alive and answers one case per line."""
import json
import pathlib
import subprocess

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
    """Steps by fovea-bench-train, which is started for each question."""

    def __init__(self, build, threads):
        self.command = [pathlib.Path(build) / "experiments/bench/fovea-bench-train", f"--threads={threads}",
                        "--benchmark_format=json"]

    def ask(self, case, seconds):
        result = subprocess.run([*self.command, f"--benchmark_filter=^{case.name()}(/|$)",
                                 f"--benchmark_min_time={seconds}"], capture_output=True, text=True, check=True)
        (row,) = json.loads(result.stdout)["benchmarks"]
        return {"seconds": case.tokens() / row["tokens/s"], "calls": row["iterations"]}
