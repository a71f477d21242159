#!/usr/bin/env python3
"""The program from the outside: what each command does when all is well, and what it says when not."""
import unittest

from program import (FAILED, GOLDEN, INPUT, ROOT, UNAVAILABLE, USAGE, ProgramTest, attribute, furthest, largest,
                     values)

COMMANDS = ("run", "explain", "status", "report", "convert", "train-tokenizer", "score", "inspect", "attention", "selftest", "devices")


class Help(ProgramTest):
    def test_version_names_compiler_and_features(self):
        text = self.fovea("--version").stdout
        self.assertRegex(text, r"\Afovea \d+\.\d+\.\d+\n")
        for word in ("commit", "compiler", "oneDNN", "HDF5"):
            self.assertIn(word, text)

    def test_help_names_every_command(self):
        text = self.fovea("--help").stdout
        for command in COMMANDS:
            self.assertRegex(text, rf"\n  {command} +\S")

    def test_every_command_has_help_that_fits_a_terminal(self):
        for command in ((), *((command,) for command in COMMANDS)):
            text = self.fovea(*command, "--help").stdout
            self.assertIn("Usage: fovea " + " ".join(command), text)
            for line in text.splitlines():
                self.assertLessEqual(len(line), 110, line)
                self.assertEqual(line, line.rstrip())
            for noise in ("TEXT", "INT:", " in [", ":{"):
                self.assertNotIn(noise, text, command)

    def test_the_readme_names_options_that_exist(self):
        text = (ROOT / "README.md").read_text()
        for option in ("--dry-run", "--out"):
            self.assertIn(option, text)
            self.assertIn(option, self.fovea("run", "--help").stdout)


class Usage(ProgramTest):
    def test_commands(self):
        self.assertIn("fovea --help", self.refused(USAGE))
        line = self.refused(USAGE, "frobnicate")
        self.assertIn("frobnicate", line)
        self.assertIn("fovea --help", line)
        self.assertIn("did you mean status?", self.refused(USAGE, "stauts", "x"))

    def test_missing_and_surplus_arguments(self):
        for words, named in ((("run",), "CONFIG"), (("explain",), "CONFIG"), (("status",), "DIR"), (("report",), "DIR"),
                             (("convert",), "SRC"), (("convert", "a"), "DST"), (("train-tokenizer", "a", "b"), "--vocab"), (("score", "m", "--tokens", "t"), "--out"),
                             (("score", "m", "--out", "o"), "--tokens"), (("attention", "a.h5"), "--out"),
                             (("attention", "--out", "a.h5"), "IN"), (("inspect",), "MODEL")):
            line = self.refused(USAGE, *words)
            self.assertIn(named, line)
            self.assertIn(f"fovea {words[0]} --help", line)
        self.assertIn("--bogus", self.refused(USAGE, "run", "tiny.toml", "--bogus"))
        self.assertIn("surplus", self.refused(USAGE, "status", "a", "surplus"))

    def test_values_of_options(self):
        for words in (("--jobs", "0"), ("--jobs", "x"), ("--threads", "-1"), ("--stale", "sometimes")):
            line = self.refused(USAGE, "run", "tiny.toml", *words)
            self.assertIn(words[0], line)
            self.assertIn(words[1], line)
        self.assertIn("--init", self.refused(USAGE, "convert", "a", "b", "--init", "median"))
        for words in (("--group", "1"), ("--sequences", "0")):
            self.assertIn(words[0], self.refused(USAGE, "inspect", "a", *words))
        self.assertIn("excludes", self.refused(USAGE, "inspect", "a", "--text", "t", "--tokens", "t"))

    def test_backends(self):
        case = GOLDEN / "attention/f32_single_pair.h5"
        for words in (("attention", case, "--out", "o.h5"), ("selftest",)):
            line = self.refused(USAGE, *words, "--backend", "gpu")
            self.assertIn('"gpu"', line)
            self.assertIn("naive", line, "it names those there are")
            self.assertIn("CUDA", self.refused(UNAVAILABLE, *words, "--backend", "cuda"))
            self.assertRegex(self.refused(UNAVAILABLE, *words, "--backend", "cudnn"), "CUDA|cuDNN")
        self.assertIn("CUDA", self.refused(UNAVAILABLE, "run", "tiny.toml", "run.backend=cuda", "--out", "r"))
        self.assertFalse((self.folder / "r").exists())
        self.assertIn("CUDA", self.refused(UNAVAILABLE, "score", GOLDEN / "models/gpt2", "--tokens",
                                           GOLDEN / "models/gpt2/reference.h5", "--out", "o.h5", "--backend", "cuda"))

    def test_keys_and_values(self):
        for command in ("run", "explain"):
            self.assertIn("did you mean train.lr?", self.refused(USAGE, command, "tiny.toml", "train.lrr=1"))
            self.assertIn("train.lr=fast", self.refused(USAGE, command, "tiny.toml", "train.lr=fast"))
            self.assertIn("model.layers", self.refused(USAGE, command, "tiny.toml", "model.layers=0"))
        (self.folder / "wrong.toml").write_text("[model]\nlayers = 1\nwidht = 3\n")
        self.assertRegex(self.refused(USAGE, "run", "wrong.toml"), r"wrong\.toml:3:1: .*did you mean model\.width\?")
        (self.folder / "torn.toml").write_text("[model\n")
        self.assertRegex(self.refused(USAGE, "run", "torn.toml", "--dry-run"), r"torn\.toml:1:\d+: ")

    def test_the_same_file_as_problem_and_answer(self):
        for words in (("attention", "x.h5", "--out", "x.h5"),):
            (self.folder / "x.h5").write_bytes((GOLDEN / "attention/f32_single_pair.h5").read_bytes())
            self.assertIn("x.h5", self.refused(USAGE, *words))
        tokens = (GOLDEN / "models/gpt2/reference.h5").read_bytes()
        (self.folder / "t.h5").write_bytes(tokens)
        self.assertIn("t.h5", self.refused(USAGE, "score", GOLDEN / "models/gpt2", "--tokens", "t.h5", "--out", "t.h5"))
        self.assertEqual((self.folder / "t.h5").read_bytes(), tokens)


class Input(ProgramTest):
    def setUp(self):
        super().setUp()
        (self.folder / "garbage").write_bytes(bytes(range(256)) * 20)
        (self.folder / "empty").touch()

    def files_refused(self, *words):
        """Every kind of wrong file in the place of FILE."""
        for name in ("absent", "garbage", "empty", "."):
            line = self.refused(INPUT, *(name if word == "FILE" else word for word in words))
            self.assertTrue(line.startswith(name), line)

    def test_attention(self):
        self.files_refused("attention", "FILE", "--out", "o.h5")
        self.assertFalse((self.folder / "o.h5").exists())

    def test_score(self):
        self.files_refused("score", GOLDEN / "models/gpt2", "--tokens", "FILE", "--out", "o.h5")
        self.files_refused("score", "FILE", "--tokens", GOLDEN / "models/gpt2/reference.h5", "--out", "o.h5")
        line = self.refused(INPUT, "score", GOLDEN / "models/gpt2", "--tokens",
                            GOLDEN / "attention/f32_single_pair.h5", "--out", "o.h5")
        self.assertIn("tokens", line)
        self.assertFalse((self.folder / "o.h5").exists())

    def test_inspect(self):
        model = GOLDEN / "models/gpt2"
        self.files_refused("inspect", "FILE", "--out", "o.h5")
        self.files_refused("inspect", model, "--tokens", "FILE", "--out", "o.h5")
        (self.folder / "empty study").mkdir()
        (self.folder / "empty study/study.json").write_text("{")
        self.assertIn("study.json", self.refused(INPUT, "inspect", "empty study"))
        self.assertIn("tokens", self.refused(
            INPUT, "inspect", model, "--tokens", GOLDEN / "attention/f32_single_pair.h5", "--out", "o.h5"))
        self.assertFalse((self.folder / "o.h5").exists())

    def test_convert(self):
        self.files_refused("convert", "FILE", "o.safetensors")
        self.assertFalse((self.folder / "o.safetensors").exists())

    def test_status_and_report(self):
        for command in ("status", "report"):
            for name in ("absent", "garbage", "."):
                self.assertIn("study.json", self.refused(INPUT, command, name))
            (self.folder / "study").mkdir(exist_ok=True)
            for text in ("", "{", "[]", '{"format": "fovea study"}'):
                (self.folder / "study/study.json").write_text(text)
                self.assertIn("study.json", self.refused(INPUT, command, "study"))

    def test_configuration(self):
        for command in ("run", "explain"):
            for name in ("absent.toml", "."):
                self.assertIn(name, self.refused(INPUT, command, name))

    def test_corpus(self):
        self.assertIn("absent.txt", self.refused(INPUT, "run", "tiny.toml", "data.corpus=absent.txt"))
        (self.folder / "short.txt").write_text("too short")
        self.assertIn("short.txt", self.refused(INPUT, "run", "tiny.toml", "data.corpus=short.txt"))

    def test_token_files(self):
        (self.folder / "raw.bin").write_bytes(bytes(range(200)) * 40 + b"x")
        line = self.refused(INPUT, "run", "tiny.toml", "data.corpus=raw.bin")
        self.assertTrue(line.startswith("raw.bin: byte 8000: half a token"), line)
        (self.folder / "raw.bin").write_bytes(bytes(range(200)) * 40)
        line = self.refused(INPUT, "run", "tiny.toml", "data.corpus=raw.bin", "data.vocab=1000")
        self.assertTrue(line.startswith("raw.bin: byte 4: token 2 is 1284, beyond data.vocab of 1000"), line)
        for command in ("run", "explain"):
            line = self.refused(INPUT, command, "tiny.toml", "data.corpus=absent.bin", "data.vocab=1000")
            self.assertIn("absent.bin", line)
        text = self.fovea("explain", "tiny.toml", "data.corpus=raw.bin", "data.vocab=65536").stdout
        self.assertRegex(text, r"\n +parameters +2\.10M\n")  # two matrices of 65536 x 16 before all else

    def test_tokenizers(self):
        for command in ("run", "explain"):
            self.assertIn("say bytes", self.refused(INPUT, command, "tiny.toml", "data.tokenizer=absent.json"))
        (self.folder / "t.json").write_text('{"model": {"type": "WordPiece"}}')
        line = self.refused(INPUT, "run", "tiny.toml", "data.tokenizer=t.json")
        self.assertEqual(line, 't.json: model: the kind "WordPiece" is not supported: BPE is')
        (self.folder / "t.model").write_text("no model")
        self.assertTrue(self.refused(INPUT, "run", "tiny.toml", "data.tokenizer=t.model").startswith("t.model: "))
        for vocab in ("256", "x", "99999999"):
            self.assertIn("--vocab", self.refused(USAGE, "train-tokenizer", "corpus.txt", "new.json", "--vocab", vocab))
        self.assertIn("absent", self.refused(INPUT, "train-tokenizer", "absent.txt", "new.json", "--vocab", "300"))
        self.assertIn(".json", self.refused(USAGE, "train-tokenizer", "corpus.txt", "new.model", "--vocab", "300"))
        self.assertFalse((self.folder / "new.json").exists())

    def test_a_damaged_result_of_an_earlier_run(self):
        self.fovea("run", "tiny.toml", "--out", "study")
        [file] = (self.folder / "study").glob("*/run.h5")
        file.write_bytes(file.read_bytes()[:3000])
        line = self.one_line(self.fovea("run", "tiny.toml", "--out", "study", code=INPUT))
        self.assertIn(str(file.relative_to(self.folder)), line)
        self.assertIn("remove", line, "how to mend it")


class Places(ProgramTest):
    """Where nothing can be written: one line that names the place."""

    def test_output(self):
        case = GOLDEN / "attention/f32_single_pair.h5"
        model = GOLDEN / "models/gpt2"
        for words in (("attention", case, "--out", "absent/o.h5"),
                      ("score", model, "--tokens", model / "reference.h5", "--out", "absent/o.h5"),
                      ("convert", model, "absent/o.safetensors"),
                      ("run", "tiny.toml", "--out", "corpus.txt/study")):
            result = self.fovea(*words, code=FAILED)
            self.assertRegex(self.one_line(result), r"^(absent/|corpus\.txt/study: )")


class Inspect(ProgramTest):
    def test_a_hugging_face_model(self):
        model = GOLDEN / "models/llama_gqa_bf16"
        text = self.fovea("inspect", model, "--tokens", model / "reference.h5", "--out", "o.h5").stdout
        self.assertRegex(text, r"llama_gqa_bf16: 2 layers of 6 query and 2 KV heads of 16, scores times 0.25\n")
        self.assertIn("\nlayer  head  entropy", text)
        loss = values(model / "reference.h5", "/loss")[0]
        self.assertAlmostEqual(values(self.folder / "o.h5", "/loss")[0], loss, delta=5e-4)
        self.assertEqual(len(values(self.folder / "o.h5", "/attention/entropy")), 12)
        self.assertEqual(attribute(self.folder / "o.h5", "/provenance/backend"), "cpu")

    def test_says_no_more_than_was_asked(self):
        before = sorted(self.folder.iterdir())
        self.assertIn("random tokens", self.fovea("inspect", GOLDEN / "models/gpt2").stdout)
        self.assertEqual(sorted(self.folder.iterdir()), before, "a folder that is not a run's is left as it was")

    def test_threads_do_not_move_a_bit(self):
        for threads in (1, 3):
            self.fovea("inspect", GOLDEN / "models/mistral_window", "--out", f"{threads}.h5", "--threads", threads)
        for dataset in ("/attention/entropy", "/attention/score_deviation", "/attention/induction", "/gradients/mlp"):
            self.assertEqual(values(self.folder / "1.h5", dataset), values(self.folder / "3.h5", dataset))

    def test_texts_that_do_not_fit(self):
        model = GOLDEN / "models/gpt2"
        self.assertIn("--tokens", self.refused(USAGE, "inspect", model, "--text", "corpus.txt"))
        line = self.refused(USAGE, "inspect", GOLDEN / "models/llama_gqa_bf16", "--group", "3")
        self.assertIn("--group 3", line)
        self.assertIn("2", line)

    def test_a_run_and_a_study(self):
        self.fovea("run", "gqa.toml", "--out", "s", "--quiet")
        runs = self.index("s")
        folder = self.folder / "s" / runs["mha-s0"]["directory"]
        text = self.fovea("inspect", folder).stdout
        self.assertIn("held out of corpus.txt", text)
        self.assertIn("as it was drawn: loss", text)
        self.assertEqual([path.name for path in (self.folder / "s").glob("*/inspect.h5")], ["inspect.h5"])
        loss = values(folder / "inspect.h5", "/loss")[0]
        self.assertAlmostEqual(loss, values(folder / "run.h5", "/final/loss")[0], delta=0.3)
        text = self.fovea("inspect", "s").stdout
        self.assertEqual(len(list((self.folder / "s").glob("*/inspect.h5"))), len(runs))
        for run in runs.values():
            self.assertIn(run["directory"] + ": 1 layers", text)
        self.assertEqual(text.count("as it was drawn"), 3, "what was converted was not drawn")
        self.assertIn("--out", self.refused(USAGE, "inspect", "s", "--out", "o.h5"))
        (self.folder / "short").write_text("x")
        self.assertIn("short", self.refused(INPUT, "inspect", folder, "--text", "short"))
        self.assertIn("corpus.txt", self.fovea("inspect", folder, "--text", "corpus.txt").stdout)
        (self.folder / "corpus.txt").unlink()
        self.assertIn("--text", self.refused(INPUT, "inspect", folder))


class Attention(ProgramTest):
    def test_golden_cases_on_every_backend(self):
        for name in ("f32_gqa_causal", "bf16_sink_gqa", "f16_causal_more_keys"):
            case = GOLDEN / f"attention/{name}.h5"
            for backend in ("cpu", "naive", "reference", "auto"):
                for threads in (1, 2):
                    self.fovea("attention", case, "--out", "o.h5", "--backend", backend, "--threads", threads)
                answer = self.folder / "o.h5"
                for dataset in ("out", "dq", "dk", "dv"):
                    expected = values(case, f"/expected/{dataset}")
                    rounding = {"f32_": 4 * 2**-23, "bf16": 2**-7, "f16_": 2**-10}[name[:4]]
                    low = furthest(values(case, f"/low/{dataset}"), expected)
                    error = furthest(values(answer, f"/{dataset}"), expected)
                    self.assertLessEqual(error, 3 * low + rounding * largest(expected) * 4, (name, backend, dataset))
                self.assertLessEqual(furthest(values(answer, "/lse"), values(case, "/expected/lse")), 1e-4)

    def test_threads_do_not_move_a_bit(self):
        case = GOLDEN / "attention/f32_gqa_causal.h5"
        for threads in (1, 3):
            self.fovea("attention", case, "--out", f"{threads}.h5", "--threads", threads)
        for dataset in ("/out", "/lse", "/dq", "/dk", "/dv"):
            self.assertEqual(values(self.folder / "1.h5", dataset), values(self.folder / "3.h5", dataset))

    def test_says_nothing(self):
        result = self.fovea("attention", GOLDEN / "attention/f32_single_pair.h5", "--out", "o.h5")
        self.assertEqual(result.stdout, "")


class Machine(ProgramTest):
    def test_selftest_of_each_backend(self):
        for backend in ("cpu", "naive", "auto"):
            text = self.fovea("selftest", "--backend", backend, "--threads", "2").stdout
            self.assertRegex(text.splitlines()[-1], r"^\d+ checks, 0 failed$")
            self.assertNotIn("WRONG", text)
            self.assertEqual("\nnaive: " in "\n" + text, backend != "cpu")
            self.assertEqual("\ncpu: " in "\n" + text, backend != "naive")
        self.assertIn("oracle", self.fovea("selftest", "--backend", "reference").stdout)

    def test_devices(self):
        text = self.fovea("devices").stdout
        for word in ("processor", "portable", "threads", "reference", "naive", "cpu", "GPU", "mpirun", "srun"):
            self.assertIn(word, text)
        self.assertEqual(text.count("(in use)"), 1)

    def instruction_sets(self):
        return [line.split()[1] for line in self.fovea("devices").stdout.splitlines() if line.startswith("kernels")]

    def test_each_instruction_set_does_what_it_is_asked_for(self):
        case = GOLDEN / "attention/f32_gqa_causal.h5"
        expected = values(case, "/expected/out")
        sets = self.instruction_sets()
        self.assertEqual(sets[0], "portable")
        for name in sets:
            self.assertIn(" 0 failed", self.fovea("selftest", "--backend", "cpu", "--instruction-set", name).stdout)
            self.fovea("attention", case, "--out", f"{name}.h5", "--instruction-set", name)
            self.assertLess(furthest(values(self.folder / f"{name}.h5", "/out"), expected), 1e-5)
        line = self.refused(USAGE, "selftest", "--instruction-set", "sse9")
        self.assertIn("portable, avx2", line)

    def test_a_run_keeps_to_its_instruction_set_and_says_which(self):
        for name in {"auto", *self.instruction_sets()}:
            self.fovea("run", "tiny.toml", f"run.instruction_set={name}", "--out", name, "--quiet")
            (run,) = self.index(name).values()
            file = self.folder / name / run["directory"] / "run.h5"
            self.assertEqual(attribute(file, "/provenance/used_instruction_set"),
                             self.instruction_sets()[-1] if name == "auto" else name)
        # Other instructions sum in another order, and the libraries too.
        self.assertNotEqual(self.losses("auto"), self.losses("portable"))


class Models(ProgramTest):
    def score(self, model, tokens, *words):
        self.fovea("score", model, "--tokens", tokens, "--out", "scores.h5", *words)
        return self.folder / "scores.h5"

    def test_scores_of_golden_models(self):
        for name in ("llama_mha", "gpt2"):
            model = GOLDEN / "models" / name
            expected = values(model / "reference.h5", "/logits")
            for backend in ("cpu", "naive", "reference"):
                scores = self.score(model, model / "reference.h5", "--logits", "--backend", backend)
                self.assertLessEqual(furthest(values(scores, "/logits"), expected), 2e-4 * largest(expected))
                [loss], [wanted] = values(scores, "/loss"), values(model / "reference.h5", "/loss")
                self.assertLessEqual(abs(loss - wanted), 4e-4 * largest(expected))
                logprobs = values(scores, "/logprobs")
                self.assertAlmostEqual(loss, -sum(logprobs) / len(logprobs), places=5)

    def test_a_damaged_model_is_refused(self):
        model = GOLDEN / "models" / "gpt2"
        self.fovea("convert", model, "own.safetensors")
        file = self.folder / "own.safetensors"
        data = bytearray(file.read_bytes())
        data[-100] ^= 1
        file.write_bytes(data)
        for words in (("score", file, "--tokens", model / "reference.h5", "--out", "s.h5"),
                      ("convert", file, "again.safetensors")):
            self.assertIn("damaged", self.refused(INPUT, *words))

    def test_a_converted_model_scores_the_same(self):
        for name in ("llama_gqa_bf16", "qwen2_bias_tied", "gemma_wide_heads"):
            model = GOLDEN / "models" / name
            self.fovea("convert", model, "own.safetensors")
            tokens = model / "reference.h5"
            logits = values(self.score(model, tokens, "--logits"), "/logits")
            self.assertEqual(values(self.score("own.safetensors", tokens, "--logits"), "/logits"), logits, name)

    def test_fewer_heads(self):
        self.fovea("run", "tiny.toml", "--out", "study")
        [run] = (path for path in (self.folder / "study").iterdir() if path.is_dir())
        self.fovea("convert", run, "same.safetensors")
        sizes = {}
        for init in ("mean", "first", "random"):
            self.fovea("convert", run, f"{init}.safetensors", "--kv-heads", "2", "--init", init)
            sizes[init] = (self.folder / f"{init}.safetensors").stat().st_size
        self.assertEqual(len(set(sizes.values())), 1)
        self.assertLess(sizes["mean"], (self.folder / "same.safetensors").stat().st_size)
        mean, first = ((self.folder / f"{init}.safetensors").read_bytes() for init in ("mean", "first"))
        self.assertNotEqual(mean, first)
        self.fovea("convert", run, "other.safetensors", "--kv-heads", "2", "--init", "random", "--seed", "1")
        self.assertNotEqual((self.folder / "other.safetensors").read_bytes(),
                            (self.folder / "random.safetensors").read_bytes())
        self.fovea("convert", "mean.safetensors", "one.safetensors", "--kv-heads", "1")
        line = self.refused(USAGE, "convert", run, "x.safetensors", "--kv-heads", "3")
        self.assertIn("--kv-heads 3", line)
        self.refused(USAGE, "convert", "mean.safetensors", "x.safetensors", "--kv-heads", "4")
        tokens = GOLDEN / "models/llama_mha/reference.h5"  # its tokens are bytes too
        losses = [values(self.score(model, tokens), "/loss")[0] for model in (run, "same.safetensors")]
        self.assertEqual(losses[0], losses[1])
        self.assertNotEqual(values(self.score("mean.safetensors", tokens), "/loss")[0], losses[0])


class Explain(ProgramTest):
    def test_every_value_and_where_it_came_from(self):
        text = self.fovea("explain", "tiny.toml", "train.seed=3").stdout
        self.assertRegex(text, r"\* width +16 +tiny\.toml:6:9\n")
        self.assertRegex(text, r"\* seed +3 +command line")
        self.assertRegex(text, r"\n  epsilon +1e-08 +default\n")
        for word in ("parameters", "memory", "activations", "KV cache per token", "FLOP"):
            self.assertIn(word, text)
        for line in text.splitlines():
            self.assertEqual(line, line.rstrip())

    def test_dry_run_lists_runs_and_does_nothing(self):
        text = self.fovea("run", "gqa.toml", "--dry-run").stdout
        lines = text.splitlines()
        self.assertEqual(len(lines), 1 + 8 + 1)
        self.assertRegex(lines[1], r"^mha-s0 +\S+ +4\.10k +32 +\S+ MiB +\S+ MFLOP$")
        self.assertRegex(lines[2], r"^g2-mean-a0-s0 .* mha-s0$")
        self.assertRegex(lines[-1], r"^8 runs, ")
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["corpus.txt", "gqa.toml", "tiny.toml"])

    def test_a_sweep_is_listed_by_what_varies(self):
        text = self.fovea("run", "tiny.toml", "sweep.train.lr=[1e-3, 1e-2]", "study.seeds=[0, 1]", "--dry-run").stdout
        for name in ("lr=0.001,seed=0", "lr=0.001,seed=1", "lr=0.01,seed=0", "lr=0.01,seed=1"):
            self.assertIn(f"\n{name} ", text)


if __name__ == "__main__":
    unittest.main()
