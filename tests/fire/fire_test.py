#!/usr/bin/env python3
"""Studies under fire: full and read-only disks, damaged checkpoints, two studies in one place, owners killed."""
import os
import queue
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from study import (DONE, FAILED, INTERRUPTED, PROGRAM, ProgramTest, children_of, leftovers, outcome, runs_of,
                   wait_until)

# 1000 steps of about a millisecond, a checkpoint at every 20th
LONG = ("train.tokens=128_000", "train.checkpoint_every=20", "train.evaluate_every=300", "--threads", "1")
SEEDS = ("study.seeds=[0, 1]",)


class FireTest(ProgramTest):
    calm = {}  # outcomes by the words of a study, for all tests

    def run_folder(self, study, name="seed=0"):
        return self.folder / study / runs_of(self.folder / study)[name]["directory"]

    def checkpoints(self, study):
        return sorted((self.folder / study).glob("*/checkpoints/step-*.safetensors"))

    def begin(self, study, *words):
        """Starts a long run; returns when it has its first checkpoint."""
        process = self.start("run", "tiny.toml", *LONG, *words, "--out", study, "--quiet")
        self.lines = queue.Queue()
        threading.Thread(target=lambda: [self.lines.put(line) for line in process.stderr], daemon=True).start()
        wait_until(lambda: self.checkpoints(study), process)
        return process

    def hear(self, process, *words):
        """The next line on stderr, which must hold these words."""
        line = self.lines.get(timeout=60)
        for word in words:
            self.assertIn(word, line)
        self.assertTrue(line.startswith("fovea: "), line)
        return line

    def expect_whole(self, study):
        """Every checkpoint is read by the program, which knows a damaged one by its checksum."""
        for number, file in enumerate(self.checkpoints(study)):
            try:
                self.fovea("convert", file, f"copy{number}")
            except AssertionError:
                if file.exists():  # a run in progress removes the oldest
                    raise

    def expect_calm(self, study, *words):
        """The study ended as the same one does that nothing happened to, and left nothing behind."""
        if words not in self.calm:
            self.fovea("run", "tiny.toml", *LONG, *words, "--out", "calm", "--quiet")
            self.calm[words] = outcome(self.folder / "calm")
        self.assertEqual(outcome(self.folder / study), self.calm[words])
        self.assertEqual(leftovers(self.folder), [])


class FullDisk(FireTest):
    """By a limit on the size of files, which needs no root and can be lifted from outside; and for real."""

    def limit(self, process, size):
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        for pid in (process.pid, *children_of(process)):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))

    def start(self, *words, **environment):
        # The limit then is an error of the write, and no signal.
        process = subprocess.Popen([PROGRAM, *map(str, words)], cwd=self.folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env=self.environment(**environment),
                                   preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                   restore_signals=False)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(self):
        process = self.begin("s")
        self.limit(process, self.checkpoints("s")[0].stat().st_size - 1)
        line = self.hear(process, "seed=0: step ", "cannot be written: File too large (make room); training goes on; the "
                         "last checkpoint is that of step ")
        self.assertIn("checkpoints/step-", line)
        self.hear(process, "File too large")  # it tried again
        self.expect_whole("s")
        self.assertTrue(f"that of step {int(self.checkpoints('s')[-1].name[5:13])}\n" in line, line)
        self.limit(process, resource.RLIM_INFINITY)
        while "the disk takes what is written again" not in self.lines.get(timeout=60):
            pass
        self.assertEqual(process.wait(60), DONE)
        self.expect_calm("s")

    def test_a_journal_that_does_not_fit_is_kept(self):
        process = self.begin("s")
        self.limit(process, 3000)  # less than it holds by then
        self.hear(process, "journal.jsonl: File too large; training goes on")
        self.fovea("status", "s")
        self.limit(process, resource.RLIM_INFINITY)
        self.assertEqual(process.wait(60), DONE)
        self.expect_calm("s")

    def test_killed_while_it_is_full(self):
        process = self.begin("s")
        self.limit(process, 3000)
        self.hear(process, "File too large")
        time.sleep(0.1)
        for pid in (*children_of(process), process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        self.expect_whole("s")
        self.fovea("run", "tiny.toml", *LONG, "--out", "s", "--quiet")
        self.expect_calm("s")

    def test_results_wait_for_room_or_end_with_75(self):
        process = self.begin("s")
        self.limit(process, 3000)
        while "trying again for 300 s" not in self.lines.get(timeout=60):
            pass
        process.terminate()
        self.assertEqual(process.wait(60), INTERRUPTED)
        self.expect_whole("s")
        process = self.start("run", "tiny.toml", *LONG, "--out", "s", "--quiet")
        self.assertEqual(process.wait(60), DONE)
        self.expect_calm("s")

    def test_a_disk_that_is_full_at_the_start_is_one_line(self):
        self.fovea("run", "tiny.toml", "--out", "first", "--quiet")  # makes the corpus' cache
        result = subprocess.run([PROGRAM, "run", "tiny.toml", "--out", "s"], cwd=self.folder, capture_output=True,
                                text=True, check=False, restore_signals=False, preexec_fn=lambda: (
                                    signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))))
        self.assertEqual(result.returncode, INTERRUPTED, result.stderr)
        self.assertEqual(self.one_line(result), "s/study.json: cannot be written: File too large (make room)")

    def test_a_disk_that_is_full(self):
        if os.geteuid() != 0:
            self.skipTest("a small disk is mounted by root alone")
        disk = self.folder / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False,
                          capture_output=True).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        process = self.begin("disk/s")
        with open(disk / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1024))
            except OSError:
                pass
        while "No space left on device (make room); training goes on" not in self.lines.get(timeout=60):
            pass
        self.expect_whole("disk/s")
        (disk / "filler").unlink()
        while "the disk takes what is written again" not in self.lines.get(timeout=60):
            pass
        self.assertEqual(process.wait(60), DONE)
        self.expect_calm("disk/s")


class ReadOnly(FireTest):
    """Root may write anywhere: as root the program runs as nobody."""

    def setUp(self):
        super().setUp()
        self.nobody = {}
        if os.geteuid() == 0:
            self.nobody = {"user": 65534, "group": 65534, "extra_groups": []}
            for path in (self.folder, *self.folder.rglob("*")):
                os.chmod(path, 0o777)
            if subprocess.run([PROGRAM, "--version"], check=False, capture_output=True, cwd=self.folder,
                              **self.nobody).returncode != 0:
                self.skipTest("root may write anywhere, and nobody else can run the program here")

    def start(self, *words, **environment):
        process = subprocess.Popen([PROGRAM, *map(str, words)], cwd=self.folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env=self.environment(**environment),
                                   **self.nobody)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_from_the_start_is_one_line(self):
        (self.folder / "s").mkdir(mode=0o555)
        process = self.start("run", "tiny.toml", "--out", "s", "--quiet")
        self.assertEqual(process.wait(60), FAILED)
        self.assertRegex(process.stderr.read(), r"\Afovea: s/study\.lock: cannot be written: Permission denied\n\Z")

    def test_in_the_middle_and_writable_again(self):
        process = self.begin("s")
        [folder] = (self.folder / "s").glob("*/checkpoints")
        os.chmod(folder, 0o555)
        self.hear(process, "cannot be written: Permission denied; training goes on")
        os.chmod(folder, 0o755)
        while "the disk takes what is written again" not in self.lines.get(timeout=60):
            pass
        self.assertEqual(process.wait(60), DONE)
        self.expect_calm("s")


class Damage(FireTest):
    def setUp(self):
        super().setUp()
        process = self.begin("s")
        wait_until(lambda: len(self.checkpoints("s")) > 1, process)
        process.terminate()
        self.assertEqual(process.wait(60), INTERRUPTED)
        self.last = self.checkpoints("s")[-1]

    def resumed(self, *words, code=DONE):
        result = subprocess.run([PROGRAM, "run", "tiny.toml", *LONG, "--out", "s", *words], cwd=self.folder,
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def refused(self, *words):
        """Why the run was refused; the checkpoint is named and left where it is."""
        text = self.resumed(code=FAILED).stdout
        run = self.last.parents[1].relative_to(self.folder)
        for word in (str(self.last.relative_to(self.folder)), "--resume intact", f"remove {run}", *words):
            self.assertIn(word, text)
        self.assertTrue(self.last.exists())

    def expect_intact_serves(self):
        result = self.resumed("--resume", "intact")
        before = int(self.last.name[5:13]) // 20 * 20 - (20 if int(self.last.name[5:13]) % 20 == 0 else 0)
        self.assertRegex(result.stderr, rf"\Afovea: seed=0: {self.last.relative_to(self.folder)}: [^\n]+; kept as "
                         rf"\*\.refused, and what came after step {before} is computed again\n\Z")
        self.expect_calm("s")

    def test_corrupt(self):
        data = bytearray(self.last.read_bytes())
        data[len(data) // 2] ^= 1
        self.last.write_bytes(data)
        self.refused("the file is damaged")
        self.expect_intact_serves()

    def test_truncated(self):
        self.last.write_bytes(self.last.read_bytes()[:-100])
        self.refused("truncated")
        self.expect_intact_serves()

    def test_empty(self):
        self.last.write_bytes(b"")
        self.refused("shorter than its header")
        self.expect_intact_serves()

    def test_stale(self):
        process = self.begin("other", "train.lr=1e-3")
        process.terminate()
        process.wait()
        shutil.copy(self.checkpoints("other")[0], self.last)
        self.refused("is stale", '"train.lr = 0.001" where this one says "train.lr = 0.005"')
        self.expect_intact_serves()


class Together(FireTest):
    def words(self):
        return ("run", "tiny.toml", *LONG, *SEEDS, "--out", "s")

    def test_the_second_waits_until_the_first_ends(self):
        first = self.start(*self.words(), "--quiet")
        wait_until(lambda: self.checkpoints("s"), first)
        second = self.start(*self.words())
        line = second.stderr.readline()
        self.assertEqual(line, f"fovea: s: another fovea run (process {first.pid} on {socket.gethostname()}) is at work "
                         "here; waiting for it to end\n")
        self.assertIsNone(first.poll())
        self.assertEqual(first.wait(60), DONE)
        stdout, stderr = second.communicate(timeout=60)
        self.assertEqual((second.returncode, stderr), (DONE, ""))
        self.assertIn("2 of 2 runs were finished already", stdout)
        self.assertEqual(leftovers(self.folder), [])

    def test_waiting_ends_at_a_signal(self):
        first = self.start(*self.words(), "--quiet")
        wait_until(lambda: self.checkpoints("s"), first)
        second = self.start(*self.words())
        second.stderr.readline()
        second.terminate()
        _, stderr = second.communicate(timeout=10)
        self.assertEqual(second.returncode, INTERRUPTED)
        self.assertEqual(stderr, "fovea: s: stopped while waiting for another study\n")
        first.terminate()
        first.communicate(timeout=60)
        self.assertEqual(first.returncode, INTERRUPTED)
        self.assertEqual([run["state"] for run in runs_of(self.folder / "s").values()], ["interrupted", "waiting"])

    def test_a_lock_of_an_owner_that_was_killed_is_recognised(self):
        first = self.start(*self.words(), "--quiet")
        wait_until(lambda: self.checkpoints("s"), first)
        for child in children_of(first):
            os.kill(child, signal.SIGSTOP)  # it holds the lock still
        [child] = children_of(first)
        first.kill()
        first.wait()
        second = self.start(*self.words(), "--quiet")
        line = second.stderr.readline()
        self.assertEqual(line, f"fovea: s: runs of a study that was killed (process {first.pid}) are still saving their "
                         "work here; waiting for it to end\n")
        os.kill(child, signal.SIGKILL)
        self.assertEqual(second.communicate(timeout=60), ("", ""))
        self.assertEqual(second.returncode, DONE)
        self.expect_calm("s", *SEEDS)

    def test_a_lock_that_nobody_holds_is_none(self):
        (self.folder / "s").mkdir()
        (self.folder / "s/study.lock").write_text(f"{os.getpid()} {socket.gethostname()}")
        self.fovea("run", "tiny.toml", "--out", "s")
        self.assertEqual(leftovers(self.folder), [])


if __name__ == "__main__":
    unittest.main()
