"""What the tests under fire share: a study of seconds, and what must hold of its files at any instant."""
import hashlib
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "experiments"))
# pylint: disable=wrong-import-position,unused-import
from program import (DONE, FAILED, INPUT, INTERRUPTED, PROGRAM, USAGE, ProgramTest, attribute, corpus,  # noqa: E402
                     values)


def children_of(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def runs_of(study):
    """study.json's runs by name."""
    return {run["name"]: run for run in json.loads((study / "study.json").read_text())["runs"]}


def outcome(study):
    """Everything of a finished study that a time does not enter: models, losses, norms, evaluations."""
    result = {}
    for name, run in runs_of(study).items():
        file = study / run["directory"] / "run.h5"
        result[name] = (run["identity"], attribute(file, "/state"), digest(file.parent / "model.safetensors"),
                        *(values(file, path) for path in ("/series/step", "/series/train_loss", "/series/grad_norm",
                                                          "/evaluations/step", "/evaluations/loss")))
    return result


def leftovers(folder):
    """What no finished study may leave: temporary files and locks."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")
                  if ".tmp." in path.name or path.name == "study.lock" or path.name.startswith("fovea-report-"))


def wait_until(condition, process=None, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "it ended before"
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.002)


def opens(file):
    return subprocess.run(["h5dump", "-y", "-d", "/series/train_loss", file], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0

