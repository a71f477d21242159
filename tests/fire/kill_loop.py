#!/usr/bin/env python3
"""kill_loop.py [PROGRAM] [--kills N] [--seed S]: kills a study with SIGKILL again and again, lets it finish, compares.

A small GQA study (a baseline, conversions, uptraining, evaluations, checkpoints, results), its report and a
conversion are killed at random instants of each phase: the files' changes say where the program is. After every
kill each file must be whole; every study that ends must equal the calm one to the bit, whatever the threads and
jobs of each sitting, and leave no temporary file. The last line counts.
"""
import argparse
import collections
import ctypes
import fcntl
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

_, *ARGUMENTS = sys.argv
sys.argv = sys.argv[:1] + [word for word in ARGUMENTS[:1] if not word.startswith("-")]
from study import PROGRAM, corpus, children_of, digest, leftovers, outcome, runs_of  # noqa: E402

STUDY = """
[study]
kind = "gqa"
[data]
corpus = "corpus.txt"
[model]
layers = 2
width = 32
q_heads = 4
context = 16
[train]
tokens = 16_384    # 64 steps
batch = 16
grain = 4
lr = 5e-3
checkpoint_every = 5
evaluate_every = 8
[gqa]
kv_heads = [1]
inits = ["mean"]
alphas = [0, 0.25]
"""
MODIFY, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200


class Watch:
    """Changes of files in the folders of a study, in order, as they happen (inotify)."""

    def __init__(self, root):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.folders = {}
        self.add(root)

    def add(self, folder):
        wanted = MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE
        self.folders[self.libc.inotify_add_watch(self.fd, str(folder).encode(), wanted)] = folder
        for child in folder.iterdir():
            if child.is_dir() and child not in self.folders.values():
                self.add(child)

    def events(self):
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return []
        events = []
        while data:
            number, mask, _, size = struct.unpack_from("iIII", data)
            path = self.folders[number] / data[16:16 + size].rstrip(b"\0").decode()
            data = data[16 + size:]
            if mask & CREATE and path.is_dir():
                self.add(path)
            events.append((mask, path))
        return events

    def close(self):
        os.close(self.fd)


def temporary(of):
    """Events on temporary files of such a target, by their masks."""
    return lambda masks: lambda mask, path: bool(mask & masks) and path.name.startswith(of) and ".tmp." in path.name


# What a phase is told by, in the files' changes. A kill comes at that instant or up to `later` seconds after it.
def phases():
    def renamed(to):
        return lambda mask, path: bool(mask & MOVED_TO) and path.name.startswith(to) and ".tmp." not in path.name
    return {
        # name: (event, later)
        "training": (lambda mask, path: bool(mask & MODIFY) and path.name == "journal.jsonl", 0.01),
        "evaluation": (None, 0.003),
        "checkpoint write": (temporary("step-")(CREATE | MODIFY), 0.001),
        "checkpoint rename": (temporary("step-")(MOVED_FROM), 0.0002),
        "checkpoint published": (renamed("step-"), 0.0005),
        "journal write": (lambda mask, path: bool(mask & MODIFY) and path.name == "journal.jsonl", 0),
        "journal cut back": (temporary("journal.jsonl")(CREATE | MODIFY | MOVED_FROM), 0.0005),
        "start and conversion": (lambda mask, path: bool(mask & MOVED_TO) and path.name == "study.json", 0.03),
        "model write": (temporary("model.safetensors")(CREATE | MODIFY | MOVED_FROM), 0.0005),
        "run.h5 write": (temporary("run.h5")(CREATE | MODIFY | MOVED_FROM), 0.0005),
        "study.json write": (temporary("study.json")(CREATE | MODIFY | MOVED_FROM), 0.0005),
    }


class Fire:
    def __init__(self, folder, seed):
        self.folder, self.draw = folder, random.Random(seed)
        self.counts = collections.Counter()
        self.finished = self.checked = 0
        self.known = {}  # files that were found whole, by what they were
        (folder / "corpus.txt").write_text(corpus())
        (folder / "study.toml").write_text(STUDY)
        (folder / "temporary").mkdir()
        self.environment = {**os.environ, "TMPDIR": str(folder / "temporary")}

    def fovea(self, *words):
        result = subprocess.run([PROGRAM, *map(str, words)], cwd=self.folder, env=self.environment, text=True,
                                capture_output=True, check=False)
        assert result.returncode == 0, f"{words}: {result.returncode} {result.stdout}{result.stderr}"
        return result.stdout

    def start(self, *words):
        return subprocess.Popen([PROGRAM, *map(str, words)], cwd=self.folder, env=self.environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def study_words(self):
        jobs = self.draw.choice((1, 1, 2))
        return "run", "study.toml", "--out", "s", "--quiet", "--jobs", jobs, "--threads", self.draw.choice((1, 2, 3))

    # A power cut ends all of them; a person or the system's memory killer ends one.
    def kill(self, process):
        whom = self.draw.random()
        children = children_of(process) if process.poll() is None else []
        try:
            if whom < 0.7:
                os.killpg(process.pid, signal.SIGKILL)
            elif whom < 0.85 or not children:
                process.kill()
            else:
                os.kill(self.draw.choice(children), signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def after(self, process, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            pass
        return process.poll() is None

    def evaluating(self, watch):
        """Whether the last line of a journal that just changed is of a step that an evaluation follows."""
        for mask, path in watch.events():
            if mask & MODIFY and path.name == "journal.jsonl" and path.exists():
                last = path.read_text().rstrip("\n").rsplit("\n", 1)[-1]
                step = last.split('"step":', 1)[-1].split(",")[0] if '"event":"step"' in last else "1"
                if step.isdigit() and int(step) % 8 == 0:
                    return True
        return False

    def kill_study(self, phase):
        """One sitting that ends by a kill in this phase; whether it came to that."""
        event, later = phases()[phase]
        (self.folder / "s").mkdir(exist_ok=True)
        watch = Watch(self.folder / "s")
        skip = self.draw.randrange(5) if phase not in ("model write", "run.h5 write", "journal cut back") else 0
        process = self.start(*self.study_words())
        try:
            while process.poll() is None:
                if event is None:
                    hit = self.evaluating(watch)
                else:
                    hit = any(event(mask, path) for mask, path in watch.events())
                if not hit:
                    continue
                if skip > 0:
                    skip -= 1
                    continue
                if not self.after(process, self.draw.random() * later):
                    return False
                self.kill(process)
                return True
            return False
        finally:
            watch.close()
            process.wait()

    def kill_command(self, phase, words, seconds, folder, name):
        """Kills a command that is no study: after a while, or when it writes."""
        watch = Watch(folder)
        process = self.start(*words)
        wait = self.draw.random() * seconds
        end = time.monotonic() + wait
        wants_write = self.draw.random() < 0.5
        try:
            while process.poll() is None:
                events = watch.events()
                if wants_write and any(path.name.startswith(name) for _, path in events):
                    break
                if not wants_write and time.monotonic() > end:
                    break
            if process.poll() is not None:
                return False
            os.killpg(process.pid, signal.SIGKILL)
            return True
        finally:
            process.wait()
            watch.close()

    # Nothing that is there may be damaged, at any instant.
    def check_files(self):
        study = self.folder / "s"
        if (study / "study.json").exists():
            self.fovea("status", "s")  # the index and every journal
        for file in [*study.rglob("*.safetensors"), *study.rglob("run.h5"), *self.folder.glob("out.safetensors")]:
            stat = file.stat()
            state = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if self.known.get(file) == state:
                continue
            if file.name == "run.h5":
                subprocess.run(["h5dump", "-y", "-o", "/dev/null", file], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, check=True)
            else:
                self.fovea("convert", file, "check/copy.safetensors")  # refuses what its checksum does not fit
            self.known[file] = state
            self.checked += 1

    def orphans_end(self):
        """Waits for the runs of a study whose process was killed: they hold its lock until they have saved."""
        file, deadline = self.folder / "s/study.lock", time.monotonic() + 60
        while file.exists():
            assert time.monotonic() < deadline, "runs of a killed study do not end"
            with open(file, encoding="utf-8") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    time.sleep(0.01)

    def finish_study(self, calm):
        for _ in range(3):  # a child that was killed last leaves a failed run, which the same command runs again
            process = self.start(*self.study_words())
            if process.wait() == 0:
                break
        assert process.returncode == 0, f"the study ended with {process.returncode}"
        self.check_files()
        found = outcome(self.folder / "s")
        assert found == calm, "another outcome than the calm study's: " + str([
            name for name in calm if found.get(name) != calm[name]])
        assert leftovers(self.folder) == [], f"left behind: {leftovers(self.folder)}"
        self.finished += 1

    def kill_others(self, kills, converted):
        """Kills the report and the conversion of a finished study."""
        run = runs_of(self.folder / "s")["mha-s0"]["directory"]
        source, target = self.folder / "s" / run / "model.safetensors", self.folder / "out.safetensors"
        for phase, words, seconds, folder, name in (
                ("report", ("report", "s"), 0.6, self.folder / "s", "report.html"),
                ("fovea convert", ("convert", source, target, "--kv-heads", 2), 0.03, self.folder, "out.safetensors")):
            for _ in range(kills):
                if self.kill_command(phase, words, seconds, folder, name):
                    self.counts[phase] += 1
                self.check_files()
                page = self.folder / "s/report.html"
                assert not page.exists() or page.read_text().endswith("</html>\n"), "half a page"
            self.fovea(*words)
        assert digest(target) == converted, "another conversion than the calm one"
        assert leftovers(self.folder) == [], f"left behind: {leftovers(self.folder)}"

    def run(self, kills):
        (self.folder / "check").mkdir()
        self.fovea("run", "study.toml", "--out", "s", "--quiet", "--threads", 1)
        calm = outcome(self.folder / "s")
        run = runs_of(self.folder / "s")["mha-s0"]["directory"]
        self.fovea("convert", f"s/{run}/model.safetensors", "calm.safetensors", "--kv-heads", 2)
        converted = digest(self.folder / "calm.safetensors")
        names = list(phases())
        others = max(1, kills // 20)
        while sum(self.counts.values()) < kills:
            shutil.rmtree(self.folder / "s")
            self.known.clear()
            for _ in range(min(12, max(1, kills - sum(self.counts.values()) - 2 * others))):
                least = min(self.counts[name] for name in names)  # all alike, in random order
                phase = self.draw.choice([name for name in names if self.counts[name] <= least + 1])
                if self.kill_study(phase):
                    self.counts[phase] += 1
                self.orphans_end()
                self.check_files()
            self.finish_study(calm)
            self.kill_others(others if sum(self.counts.values()) + 2 * others >= kills else 1, converted)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the folder when something fails")
    arguments = parser.parse_args([word for word in ARGUMENTS if word != str(ARGUMENTS[0]) or word.startswith("-")])
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fovea-fire-"))
    fire, start = Fire(folder, arguments.seed), time.monotonic()
    try:
        fire.run(arguments.kills)
    except BaseException:
        print(f"after {sum(fire.counts.values())} kills: {dict(fire.counts)}; files in {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    by_phase = ", ".join(f"{count} {name}" for name, count in sorted(fire.counts.items(), key=lambda item: -item[1]))
    print(f"{sum(fire.counts.values())} kills ({by_phase}); {fire.finished} studies ended equal to the calm one; "
          f"{fire.checked} files read whole; nothing left behind; {time.monotonic() - start:.0f} s")


main()
