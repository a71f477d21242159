#!/usr/bin/env python3
"""Studies from the outside: what is run, repeated, resumed and reported, and what is seen of it."""
import fcntl
import json
import math
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
import unittest

from program import FAILED, INPUT, INTERRUPTED, PROGRAM, USAGE, ProgramTest, attribute, values

LONG = ("train.tokens=131_072",)  # 1024 steps: about a second
GQA_RUNS = ["mha-s0", "g2-mean-a0-s0", "g2-mean-a0.1-s0", "g2-scratch-s0", "g1-mean-a0-s0", "g1-mean-a0.1-s0",
            "g1-scratch-s0", "mha-a0.1-s0"]


class StudyTest(ProgramTest):
    def journal_lines(self, study):
        return sum(path.read_text().count("\n") for path in (self.folder / study).glob("*/journal.jsonl"))

    def wait_for_steps(self, process, study, steps):
        """Until the runs of a study in progress have journalled so many lines."""
        end = time.monotonic() + 60
        while self.journal_lines(study) < steps:
            self.assertIsNone(process.poll(), "it ended before")
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def modified(self, study):
        return {path: path.stat().st_mtime_ns for path in (self.folder / study).glob("*/run.h5")}


class Runs(StudyTest):
    def test_one_run(self):
        text = self.fovea("run", "tiny.toml").stdout
        self.assertRegex(text, r"\Acorpus\.txt: \d+ tokens")
        self.assertRegex(text, r"\n\[1/1\] seed=0  done  held-out \d\.\d{4} nat/token, \d\.\d{4} bit/byte  \d+ s\n")
        self.assertTrue(text.endswith("fovea report runs/tiny draws the results\n"), text)
        [run] = self.index("runs/tiny").values()
        folder = self.folder / "runs/tiny" / run["directory"]
        self.assertEqual(sorted(path.name for path in folder.iterdir()),
                         ["checkpoints", "journal.jsonl", "model.safetensors", "run.h5"])
        self.assertEqual(len(values(folder / "run.h5", "/series/train_loss")), 32)
        self.assertLess(self.losses("runs/tiny")["seed=0"], 4.5, "it has learnt something: ln 256 is 5.5")

    def test_a_run_on_merged_tokens(self):
        """Trained here, named beside the configuration, and comparable with bytes."""
        (self.folder / "tokenizers").mkdir()
        said = self.fovea("train-tokenizer", "corpus.txt", "tokenizers/t.json", "--vocab", "300").stdout
        self.assertRegex(said, r"\Atokenizers/t\.json: 300 tokens, of \d+ different words; corpus\.txt is \d+ tokens of \d\.\d\d bytes\n\Z")
        (self.folder / "tokenizers/merged.toml").write_text('base = "../tiny.toml"\ndata.tokenizer = "t.json"\n')
        self.assertRegex(self.fovea("explain", "tokenizers/merged.toml").stdout, r"\n +vocabulary +300, tokenizers/t\.json\n")
        text = self.fovea("run", "tokenizers/merged.toml", "--out", "s").stdout
        self.assertRegex(text, r"\Acorpus\.txt: \d+ tokens \(tokenizers/t\.json, vocabulary of 300\)")
        self.fovea("run", "tiny.toml", "--out", "b")
        for study in ("s", "b"):
            [run] = (self.folder / study).glob("*/run.h5")
            [bits] = values(run, "/final/bits_per_byte")
            [loss] = values(run, "/final/loss")
            # Bits a token over bits a byte: bytes a token.
            self.assertTrue(0 < bits < 8 and loss > 0)
            bytes_per_token = loss / math.log(2) / bits
            self.assertTrue(2 < bytes_per_token < 6 if study == "s" else abs(bytes_per_token - 1) < 1e-12, bytes_per_token)
        self.fovea("report", "s")
        [page] = (self.folder / "s").glob("*.html")
        self.assertIn("tokenizers/t.json, vocabulary of 300", page.read_text())
        self.assertIn("t.json", self.fovea("run", "tokenizers/merged.toml", "sweep.data.tokenizer=[\"bytes\", \"tokenizers/t.json\"]",
                                          "--out", "both").stdout)

    def test_a_sweep(self):
        self.fovea("run", "tiny.toml", "sweep.train.lr=[1e-3, 1e-2]", "study.seeds=[0, 1]", "--out", "s")
        losses = self.losses("s")
        self.assertEqual(list(losses), ["lr=0.001,seed=0", "lr=0.001,seed=1", "lr=0.01,seed=0", "lr=0.01,seed=1"])
        self.assertEqual(len(set(losses.values())), 4)
        self.assertRegex(self.fovea("status", "s").stdout, r"4 runs, 4 done\n\Z")

    def test_a_gqa_study(self):
        self.fovea("run", "gqa.toml", "--out", "s")
        index, losses = self.index("s"), self.losses("s")
        self.assertEqual(list(losses), GQA_RUNS)
        for name, run in index.items():
            file = self.folder / "s" / run["directory"] / "run.h5"
            baseline = attribute(file, "/lineage/baseline")
            self.assertEqual(baseline, index["mha-s0"]["identity"] if run["depends_on"] else "", name)
        self.assertGreater(losses["g1-mean-a0-s0"], losses["g1-mean-a0.1-s0"], "uptraining helps")
        if os.path.exists("/usr/bin/gnuplot"):
            page, figures = self.fovea("report", "s").stdout.splitlines()
            self.assertEqual(page, "s/report.html")
            self.assertTrue((self.folder / page).is_file())
            self.assertEqual(figures, "figures beside it, as PDF and SVG: quality, alpha, training, memory")
            for figure in ("quality", "alpha", "training", "memory"):
                for kind in ("pdf", "svg"):
                    self.assertTrue((self.folder / "s" / f"{figure}.{kind}").is_file(), figure)

    def test_two_jobs_come_to_the_same_numbers(self):
        self.fovea("run", "gqa.toml", "--out", "one", "--jobs", "1")
        self.fovea("run", "gqa.toml", "--out", "two", "--jobs", "2")
        self.fovea("run", "gqa.toml", "--out", "five", "--jobs", "5", "--threads", "3")
        self.assertEqual(self.losses("two"), self.losses("one"))
        self.assertEqual(self.losses("five"), self.losses("one"))

    def test_nothing_is_repeated(self):
        self.fovea("run", "gqa.toml", "--out", "s")
        before = self.modified("s")
        start = time.monotonic()
        text = self.fovea("run", "gqa.toml", "--out", "s", "--threads", "1").stdout
        self.assertLess(time.monotonic() - start, 5)
        self.assertIn("8 of 8 runs were finished already", text)
        self.assertEqual(self.modified("s"), before)

    def test_another_value_is_another_run(self):
        self.fovea("run", "tiny.toml", "--out", "s")
        before = self.modified("s")
        self.fovea("run", "tiny.toml", "--out", "s", "train.lr=1e-2")
        after = self.modified("s")
        self.assertEqual(len(after), 2)
        self.assertEqual({path: after[path] for path in before}, before, "the old one is kept")
        self.assertIn("1 of 1 runs were finished", self.fovea("run", "tiny.toml", "--out", "s").stdout)

    def test_a_study_that_grows_runs_what_is_new(self):
        self.fovea("run", "tiny.toml", "--out", "s")
        text = self.fovea("run", "tiny.toml", "--out", "s", "study.seeds=[0, 1]").stdout
        self.assertIn("1 of 2 runs were finished already", text)
        self.assertEqual(list(self.losses("s")), ["seed=0", "seed=1"])


POOLING = """
study = "gqa"
source = "Ainslie et al. 2023, figure 4"
[[claim]]
name = "pooling"
says = "Pooled heads are better than drawn ones."
of = { conversion = "mean" }
against = { conversion = "random" }
relation = "<"
threshold = 0
"""

# Large enough for attention to matter, and for a wrong conversion to be seen.
CONVERSION = """
[study]
kind = "gqa"
seeds = [0, 1, 2, 3]
claims = ["claims/pooling.toml"]
[data]
corpus = "corpus.txt"
[model]
layers = 1
width = 64
q_heads = 4
context = 32
[train]
tokens = 81_920
batch = 8
lr = 1e-2
[gqa]
kv_heads = [2]
inits = ["random"]
alphas = [0]
control_mha = false
control_scratch = false
"""


def roll_kv_heads(file, heads):
    """Puts every KV head of a model where the head so many places before it was."""
    content = file.read_bytes()
    start = 8 + struct.unpack_from("<Q", content)[0]
    header, data = json.loads(content[8:start]), bytearray(content[start:])
    del header["__metadata__"]["checksum"]
    for name, tensor in header.items():
        if name.endswith((".attention.k.weight", ".attention.v.weight")):
            begin, end = tensor["data_offsets"]
            cut = begin + (end - begin) * heads // 4
            data[begin:end] = data[cut:end] + data[begin:cut]
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


@unittest.skipUnless(os.path.exists("/usr/bin/gnuplot"), "gnuplot is not installed (package gnuplot-nox)")
class Claims(StudyTest):
    def setUp(self):
        super().setUp()
        (self.folder / "configs/claims").mkdir(parents=True)
        (self.folder / "configs/claims/pooling.toml").write_text(POOLING)
        (self.folder / "configs/gqa.toml").write_text(CONVERSION)

    def verdicts(self, study, *words):
        """The last column of the table, row by row."""
        said = self.fovea("report", study, *words).stdout
        self.assertIn(f"\nverdicts on claims: {study}/claims.md\n", said)
        rows = (self.folder / study / "claims.md").read_text().splitlines()[2:]
        return [row.split(" | ")[-1].strip("* |") for row in rows]

    def test_a_wrong_conversion_fails_and_a_right_one_holds(self):
        # Baselines alone; then what is converted from them, in the second study with the groups' heads exchanged.
        self.fovea("run", "configs/gqa.toml", "--out", "right", "--jobs", "2")
        shutil.copytree(self.folder / "right", self.folder / "wrong")
        for run in self.index("wrong").values():
            if run["role"] == "baseline":
                roll_kv_heads(self.folder / "wrong" / run["directory"] / "model.safetensors", 2)
        for study in ("right", "wrong"):
            text = self.fovea("run", "configs/gqa.toml", "gqa.inits=[\"random\", \"mean\"]", "--out", study).stdout
            self.assertIn("8 of 12 runs were finished already", text)
        self.assertEqual(self.verdicts("right"), ["holds"])
        self.assertEqual(self.verdicts("wrong"), ["fails"])

    def test_are_kept_with_the_study(self):
        words = ("configs/gqa.toml", "gqa.inits=[\"random\", \"mean\"]", "study.seeds=[0, 1]", "train.tokens=512")
        self.fovea("run", *words, "--out", "s")
        (self.folder / "s").rename(self.folder / "elsewhere")
        (self.folder / "configs/claims/pooling.toml").unlink()
        verdict = self.verdicts("elsewhere")
        self.assertIn(verdict, (["holds"], ["fails"], ["underpowered"]))
        page = (self.folder / "elsewhere/report.html").read_text()
        self.assertIn("Pooled heads are better than drawn ones.", page)
        # and others can be judged by it
        (self.folder / "other.toml").write_text(POOLING.replace("random", "first"))
        self.assertEqual(self.verdicts("elsewhere", "--claims", "other.toml"), ["not testable"])

    def test_mistakes_are_told_before_anything_runs(self):
        file = self.folder / "configs/claims/pooling.toml"
        for wrong, words in ((POOLING.replace("of =", "off ="),
                              "configs/claims/pooling.toml:7:1: off is no key of a claim: did you mean of?"),
                             (POOLING.replace("{ conversion = \"mean\" }", "{ model.hiden = 64 }"),
                              "configs/claims/pooling.toml:7:14: model.hiden is no key of the configuration: did you "
                              "mean model.hidden?")):
            file.write_text(wrong)
            self.assertEqual(self.refused(USAGE, "run", "configs/gqa.toml", "--out", "s"), words)
        file.unlink()
        self.assertIn("configs/claims/pooling.toml", self.refused(INPUT, "run", "configs/gqa.toml", "--out", "s"))
        self.assertFalse((self.folder / "s").exists())
        self.assertIn("none.toml", self.refused(INPUT, "report", "s", "--claims", "none.toml"))

    def test_a_study_whose_claims_were_damaged_is_refused(self):
        self.fovea("run", "configs/gqa.toml", "study.seeds=[0]", "train.tokens=512", "--out", "s")
        index = self.folder / "s/study.json"
        index.write_text(index.read_text().replace("relation =", "relatoin ="))
        self.assertRegex(self.refused(INPUT, "report", "s"), r"^s/study.json: its claims: configs/claims/pooling.toml:9:1:")


class Stale(StudyTest):
    """Results of an older numerics, told by their identity."""
    OLD = "0123456789abcdef" * 2

    def age(self, name):
        """Makes a finished run one of an older numerics; returns its file."""
        run = self.index("s")[name]
        file = self.folder / "s" / run["directory"] / "run.h5"
        content = file.read_bytes()
        self.assertIn(run["identity"].encode(), content)
        file.write_bytes(content.replace(run["identity"].encode(), self.OLD.encode()))
        self.assertEqual(attribute(file, "/identity"), self.OLD)
        return file

    def test_are_run_again(self):
        self.fovea("run", "tiny.toml", "--out", "s")
        losses = self.losses("s")
        file = self.age("seed=0")
        for words in ((), ("--stale", "rerun")):
            self.fovea("run", "tiny.toml", "--out", "s", *words)
            self.assertNotEqual(attribute(file, "/identity"), self.OLD)
            self.assertEqual(self.losses("s"), losses)
            self.age("seed=0")

    def test_are_kept_when_asked(self):
        self.fovea("run", "tiny.toml", "--out", "s")
        file = self.age("seed=0")
        self.assertIn("1 of 1 runs", self.fovea("run", "tiny.toml", "--out", "s", "--stale", "keep").stdout)
        self.assertEqual(attribute(file, "/identity"), self.OLD)
        self.assertEqual(self.index("s")["seed=0"]["identity"], self.OLD)

    def test_what_starts_from_a_kept_run_says_so(self):
        self.fovea("run", "gqa.toml", "--out", "s")
        self.age("mha-s0")
        self.fovea("run", "gqa.toml", "--out", "s", "--stale", "keep")
        for name, run in self.index("s").items():
            if run["depends_on"]:
                file = self.folder / "s" / run["directory"] / "run.h5"
                self.assertEqual(attribute(file, "/lineage/baseline"), self.OLD, name)
        text = self.fovea("run", "gqa.toml", "--out", "s", "--stale", "keep").stdout
        self.assertIn("8 of 8 runs were finished already", text)


class Failures(StudyTest):
    def test_one_that_fails_leaves_the_others_running(self):
        result = self.fovea("run", "tiny.toml", "sweep.train.lr=[1e30, 5e-3]", "--out", "s", code=FAILED)
        self.assertEqual(self.one_line(result), "1 of 2 runs failed; fovea status s says why")
        self.assertRegex(result.stdout, r"\[1/2\] lr=1e\+30,seed=0  failed: step \d+: ")
        self.assertRegex(result.stdout, r"\[2/2\] lr=0\.005,seed=0  done  ")
        text = self.fovea("status", "s").stdout
        self.assertRegex(text, r"\nlr=1e\+30,seed=0 +failed +\d+ / 32 .* step \d+: ")
        self.assertRegex(text, r"2 runs, 1 done, 1 failed\n\Z")

    def test_what_starts_from_it_is_named(self):
        for jobs in (1, 3):
            study = f"s{jobs}"
            result = self.fovea("run", "gqa.toml", "train.lr=1e30", "--out", study, "--jobs", jobs, code=FAILED)
            self.assertEqual(self.one_line(result), f"8 of 8 runs failed; fovea status {study} says why")
            for name in GQA_RUNS[1:3]:
                self.assertIn(f"{name}  failed: mha-s0, which it starts from, failed\n", result.stdout)
            self.assertIn("mha-s0, which it starts from, failed", self.fovea("status", study).stdout)

    def test_quiet_says_the_one_line(self):
        result = self.fovea("run", "tiny.toml", "train.lr=1e30", "--quiet", "--out", "s", code=FAILED)
        self.assertEqual(result.stdout, "")
        self.assertIn("1 of 1 runs failed", self.one_line(result))

    def test_a_failed_run_is_tried_again(self):
        self.fovea("run", "tiny.toml", "train.lr=1e30", "--out", "s", code=FAILED)
        result = self.fovea("run", "tiny.toml", "train.lr=1e30", "--out", "s", code=FAILED)
        self.assertIn("failed: step", result.stdout)

    def test_a_process_that_is_killed_is_named(self):
        process = self.start("run", "tiny.toml", *LONG, "--out", "s", "--quiet")
        self.wait_for_steps(process, "s", 20)
        [child] = self.children(process)
        os.kill(child, signal.SIGKILL)
        self.assertEqual(process.wait(60), FAILED)
        self.assertIn("ended by signal 9", self.fovea("status", "s").stdout)

    def test_a_killed_study_leaves_no_run_behind(self):
        process = self.start("run", "tiny.toml", *LONG, "--out", "s", "--quiet")
        self.wait_for_steps(process, "s", 20)
        [child] = self.children(process)
        process.kill()
        end = time.monotonic() + 30
        while os.path.exists(f"/proc/{child}/cmdline") and time.monotonic() < end:
            with open(f"/proc/{child}/stat", encoding="utf-8") as stat:
                if stat.read().split(")")[1].split()[0] == "Z":
                    break
            time.sleep(0.02)
        self.assertLess(time.monotonic(), end)
        self.fovea("run", "tiny.toml", *LONG, "--out", "s", "--quiet")
        self.fovea("run", "tiny.toml", *LONG, "--out", "calm", "--quiet")
        self.assertEqual(self.losses("s"), self.losses("calm"))

    def children(self, process):
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="utf-8") as file:
            return [int(word) for word in file.read().split()]


class Interruptions(StudyTest):
    def test_every_signal_saves_and_the_same_command_goes_on(self):
        self.fovea("run", "tiny.toml", *LONG, "--out", "calm", "--quiet")
        calm = self.losses("calm")
        for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
            words = ("run", "tiny.toml", *LONG, "--out", name)
            process = self.start(*words)
            self.wait_for_steps(process, name, 30)
            process.send_signal(getattr(signal, name))
            stdout, stderr = process.communicate(timeout=60)
            self.assertEqual(process.returncode, INTERRUPTED, stdout + stderr)
            self.assertEqual(stderr, "")
            self.assertTrue(stdout.endswith("stopped with 0 of 1 runs done; the same command goes on\n"), stdout)
            self.assertIn("interrupted", self.fovea("status", name).stdout)
            steps = self.journal_lines(name)
            self.assertLess(steps, 1024)
            self.fovea(*words)
            self.assertEqual(self.losses(name), calm)
            [run] = self.index(name).values()
            journal = (self.folder / name / run["directory"] / "journal.jsonl").read_text()
            self.assertEqual(journal.count('"begin"'), 2, "it went on, it did not begin anew")

    def test_side_by_side(self):
        words = ("run", "tiny.toml", *LONG, "study.seeds=[0, 1, 2]", "--jobs", "2")
        self.fovea(*words, "--out", "calm", "--quiet")
        process = self.start(*words, "--out", "s")
        self.wait_for_steps(process, "s", 60)
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, INTERRUPTED, stdout)
        states = [run["state"] for run in self.index("s").values()]
        self.assertEqual(states.count("waiting"), 1, states)
        self.fovea(*words, "--out", "s")
        self.assertEqual(self.losses("s"), self.losses("calm"))

    def test_a_baseline_interrupted_leaves_its_dependents_waiting(self):
        words = ("run", "gqa.toml", *LONG, "gqa.kv_heads=[1]", "gqa.control_scratch=false", "--out", "s", "--quiet")
        process = self.start(*words)
        self.wait_for_steps(process, "s", 30)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, INTERRUPTED)
        self.assertEqual([run["state"] for run in self.index("s").values()], ["interrupted"] + ["waiting"] * 3)

    def test_status_while_it_runs(self):
        process = self.start("run", "tiny.toml", *LONG, "--out", "s", "--quiet")
        self.wait_for_steps(process, "s", 60)
        text = self.fovea("status", "s").stdout
        self.assertRegex(text, r"\nseed=0 +running +\d+ / 1024 +\d\.\d{4} +\S+.* \d+ s\n")
        self.assertIn("tiny: 1 run, 1 running\n", text)
        process.terminate()
        process.communicate(timeout=60)


class Terminal(StudyTest):
    def on_terminal(self, *words, columns=200, **environment):
        """What the program says to a terminal, and its exit code."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        process = subprocess.Popen([PROGRAM, *map(str, words)], cwd=self.folder, stdin=slave, stdout=slave,
                                   stderr=slave, env=self.environment(**environment), start_new_session=True)
        os.close(slave)
        said = b""
        while True:
            try:
                block = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            said += block
        os.close(master)
        return process.wait(60), said.decode()

    def test_a_line_that_renews_itself_in_colour(self):
        code, text = self.on_terminal("run", "tiny.toml", *LONG, "--out", "s")
        self.assertEqual(code, 0, text)
        renewed = re.findall(r"\r\x1b\[2K\[1/1\] seed=0  \d+ / 1024  loss \d\.\d{3}  \S+ tok/s  \S+ \wFLOP/s  "
                             r"\S+ MiB  \d+ s left", text)
        self.assertGreater(len(renewed), 1, text)
        self.assertIn("\x1b[32mdone\x1b[0m", text)
        shown = re.sub(r"[^\n]*\r\x1b\[2K", "", text.replace("\r\n", "\n"))
        self.assertRegex(shown, r"\n\[1/1\] seed=0  \x1b\[32mdone", "the finished line stands where progress stood")

    def test_no_color(self):
        code, text = self.on_terminal("run", "tiny.toml", "--out", "s", NO_COLOR="1")
        self.assertEqual(code, 0)
        self.assertIn("done  held-out", text)
        self.assertNotRegex(text, r"\x1b\[\d*m")
        _, text = self.on_terminal("selftest", "--backend", "cpu")
        self.assertIn("\x1b[32mok", text)

    def test_quiet(self):
        self.assertEqual(self.on_terminal("run", "tiny.toml", "--out", "s", "--quiet"), (0, ""))
        self.assertEqual(self.fovea("run", "tiny.toml", "--out", "t", "--quiet").stdout, "")

    def test_plain_where_nobody_looks(self):
        text = self.fovea("run", "tiny.toml", *LONG, "--out", "s").stdout
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\r", text)
        self.assertLess(len(text.splitlines()), 8, "a line per ten seconds, not one per step")

    def test_a_narrow_terminal_is_not_wrapped(self):
        code, text = self.on_terminal("run", "tiny.toml", *LONG, "--out", "s", columns=40)
        self.assertEqual(code, 0)
        lines = re.findall(r"\x1b\[2K(\[1/1\] seed=0  \d[^\r\n]*)", text)
        self.assertEqual({len(line) for line in lines}, {39})


if __name__ == "__main__":
    unittest.main()
