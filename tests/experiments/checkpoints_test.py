#!/usr/bin/env python3
"""Checkpoints of others from the outside: converted, uptrained as a study, written back, and refused when they lie."""
import array
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import time
import unittest

from program import GOLDEN, INPUT, PROGRAM, UNAVAILABLE, USAGE, ProgramTest, furthest, largest, values

LAYERS, WIDTH, HEADS, HEAD, HIDDEN, VOCABULARY = 2, 16, 4, 4, 24, 256


def write_safetensors(path, tensors):
    """tensors: name to (shape, array of floats)."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, data) in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + 4 * len(data)]}
        offset += 4 * len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(data.tobytes() for _, (_, data) in sorted(tensors.items()))
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    """name to (dtype, shape, bytes)."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + length])
    header.pop("__metadata__", None)
    data = content[8 + length:]
    return {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
            for name, entry in header.items()}


def write_llama(folder):
    """A drawn MHA Llama whose tokens are bytes, as transformers would save it, with a tokenizer's configuration."""
    draw = random.Random(2)

    def matrix(rows, columns):
        return [rows, columns], array.array("f", (draw.gauss(0, 0.15) for _ in range(rows * columns)))

    def ones():
        return [WIDTH], array.array("f", [1.0] * WIDTH)

    tensors = {"model.embed_tokens.weight": matrix(VOCABULARY, WIDTH), "lm_head.weight": matrix(VOCABULARY, WIDTH),
               "model.norm.weight": ones()}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        tensors[prefix + "input_layernorm.weight"] = ones()
        tensors[prefix + "post_attention_layernorm.weight"] = ones()
        for name in "qkvo":
            tensors[f"{prefix}self_attn.{name}_proj.weight"] = matrix(HEADS * HEAD, WIDTH)
        tensors[prefix + "mlp.gate_proj.weight"] = matrix(HIDDEN, WIDTH)
        tensors[prefix + "mlp.up_proj.weight"] = matrix(HIDDEN, WIDTH)
        tensors[prefix + "mlp.down_proj.weight"] = matrix(WIDTH, HIDDEN)
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY, "bos_token_id": 7,
        "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": None,
        "intermediate_size": HIDDEN, "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "torch_dtype": "float32"}))
    (folder / "generation_config.json").write_text('{"eos_token_id": 0}\n')


UPTRAIN = """
[init]
from = "llama"
conversion = "mean"
[data]
corpus = "corpus.txt"
[train]
batch = 8
sequence = 16
lr = 5e-3
[sweep]
"model.kv_heads" = [2, 1]
"train.tokens" = [0, 4096]
"""


class CheckpointsTest(ProgramTest):
    def setUp(self):
        super().setUp()
        write_llama(self.folder / "llama")
        (self.folder / "uptrain.toml").write_text(UPTRAIN)
        (self.folder / "tokens.bin").write_bytes(struct.pack("<64H", *range(64)))

    def expect_same_tensors(self, file, expected):
        """Of two files; what differs is named, not shown: a difference of bytes takes minutes to print."""
        actual, expected = read_safetensors(file), read_safetensors(expected)
        self.assertEqual(list(actual), list(expected))
        self.assertEqual([name for name in actual if actual[name] != expected[name]], [])

    def config(self, folder):
        return json.loads((self.folder / folder / "config.json").read_text())

    def score(self, model, name):
        """Log-probabilities of a few tokens."""
        tokens = GOLDEN / "models/gpt2/reference.h5"
        self.fovea("score", model, "--tokens", tokens, "--out", name)
        return values(self.folder / name, "/logprobs")


class Uptraining(CheckpointsTest):
    def test_a_study_that_starts_from_a_folder(self):
        self.fovea("run", "uptrain.toml", "--out", "s")
        runs = self.index("s")
        self.assertEqual(set(runs), {"kv_heads=2,tokens=0,seed=0", "kv_heads=2,tokens=4096,seed=0",
                                     "kv_heads=1,tokens=0,seed=0", "kv_heads=1,tokens=4096,seed=0"})
        losses = self.losses("s")
        for name, run in runs.items():
            folder = self.folder / "s" / run["directory"] / "hugging_face"
            kv_heads = int(name[len("kv_heads=")])
            expected = {**self.config("llama"), "num_key_value_heads": kv_heads}
            self.assertEqual(self.config(folder), expected)
            self.assertEqual((folder / "generation_config.json").read_text(), '{"eos_token_id": 0}\n')
            tensors = read_safetensors(folder / "model.safetensors")
            self.assertEqual(tensors["model.layers.1.self_attn.k_proj.weight"][:2], ("F32", [kv_heads * HEAD, WIDTH]))
            self.assertEqual(self.score(folder, "folder.h5"), self.score(folder.parent, "run.h5"))
            if "tokens=4096" in name:
                self.assertLess(losses[name], losses[name.replace("4096", "0")] - 0.1, "uptraining helps")
        # What is converted and not trained is what convert makes.
        self.fovea("convert", "llama", "converted", "--kv-heads", "2", "--init", "mean")
        [first] = [run["directory"] for name, run in runs.items() if name.startswith("kv_heads=2,tokens=0")]
        self.expect_same_tensors(self.folder / "converted/model.safetensors",
                                 self.folder / "s" / first / "hugging_face/model.safetensors")
        self.fovea("report", "s")
        again = self.fovea("run", "uptrain.toml", "--out", "s").stdout
        self.assertIn("4 of 4 runs were finished already", again)

    def test_other_weights_in_the_folder_are_another_study(self):
        few = ("train.tokens=0", "model.kv_heads=2")
        self.fovea("run", "uptrain.toml", *few, "--out", "s")
        tensors = self.folder / "llama/model.safetensors"
        content = bytearray(tensors.read_bytes())
        content[-1] ^= 1
        tensors.write_bytes(content)
        self.assertNotIn("finished already", self.fovea("run", "uptrain.toml", *few, "--out", "s").stdout)

    def test_the_configuration_says_where_its_values_come_from(self):
        text = self.fovea("explain", "uptrain.toml").stdout
        self.assertRegex(text, r"\* width +16 +init\.from\n")
        self.assertRegex(text, r"\* layers +2 +init\.from\n")
        self.assertRegex(text, r"kv_heads +swept")

    def test_a_run_starts_from_a_run(self):
        self.fovea("run", "tiny.toml", "--out", "s")
        [run] = self.index("s").values()
        (self.folder / "on.toml").write_text(f'init.from = "s/{run["directory"]}"\ndata.corpus = "corpus.txt"\n'
                                             "train.tokens = 0\ntrain.batch = 8\n")
        self.fovea("run", "on.toml", "--out", "t")
        self.assertEqual(list(self.losses("t").values()), list(self.losses("s").values()))

    def test_what_cannot_be_started_from(self):
        t5 = self.folder / "t5"
        t5.mkdir()
        (t5 / "config.json").write_text('{"model_type": "t5"}')
        for code, words, line in [
                (USAGE, ["model.kv_heads=3"], "must divide"),
                (INPUT, ["init.from=nowhere"], "command line: init.from=nowhere: init.from: nowhere"),
                (USAGE, ["model.vocab=100", "model.kv_heads=2"], "the data have 256 tokens"),
                (UNAVAILABLE, ["init.from=t5"], "encoder-decoder and vision models are not there yet")]:
            with self.subTest(words):
                result = self.fovea("run", "uptrain.toml", *words, "--out", "s", code=code)
                self.assertIn(line, self.one_line(result))


class Conversions(CheckpointsTest):
    def test_there_and_back(self):
        self.fovea("convert", "llama", "own.safetensors")
        self.fovea("convert", "own.safetensors", "back")
        for name in ("config.json", "generation_config.json"):
            there, back = self.folder / "llama" / name, self.folder / "back" / name
            self.assertEqual(json.loads(back.read_text()), json.loads(there.read_text()))
        self.expect_same_tensors(self.folder / "back/model.safetensors", self.folder / "llama/model.safetensors")

    def test_gpt2_as_it_was_published(self):
        """Names without the first part, and a mask that nobody reads."""
        bare = self.folder / "bare"
        shutil.copytree(GOLDEN / "models/gpt2", bare)
        tensors = {name.removeprefix("transformer."): (shape, array.array("f", data)) for name, (_, shape, data)
                   in read_safetensors(bare / "model.safetensors").items()}
        write_safetensors(bare / "model.safetensors", {**tensors, "h.0.attn.bias": ([1, 1], array.array("f", [1]))})
        self.fovea("convert", "bare", "own.safetensors")
        self.fovea("convert", "own.safetensors", "back")
        write_safetensors(bare / "model.safetensors", tensors)
        self.expect_same_tensors(self.folder / "back/model.safetensors", bare / "model.safetensors")

    def test_fewer_heads_change_what_they_must(self):
        text = self.fovea("convert", "llama", "gqa", "--kv-heads", "2", "--init", "aligned").stdout
        self.assertEqual(text, "gqa: llama, 12112 parameters, f32, 1 file\n")
        before = read_safetensors(self.folder / "llama/model.safetensors")
        after = read_safetensors(self.folder / "gqa/model.safetensors")
        self.assertEqual(list(after), sorted(before))
        changed = {name.split(".", 3)[3] for name in after if after[name] != before[name]}
        self.assertEqual(changed, {f"self_attn.{name}_proj.weight" for name in "qkvo"})
        # The heads that were rotated compute as before where none is merged.
        self.fovea("convert", "llama", "mean", "--kv-heads", "4")
        self.expect_same_tensors(self.folder / "mean/model.safetensors", self.folder / "llama/model.safetensors")

    def test_a_run_takes_its_tokenizer_along(self):
        self.fovea("train-tokenizer", "corpus.txt", "tok.json", "--vocab", "300")
        self.fovea("run", "tiny.toml", "data.tokenizer=tok.json", "--out", "s")
        [run] = self.index("s").values()
        self.fovea("convert", pathlib.Path("s") / run["directory"], "out")
        self.assertEqual((self.folder / "out/tokenizer.json").read_text(), (self.folder / "tok.json").read_text())
        for model in ("out", f"s/{run['directory']}"):
            said = self.fovea("score", model, "--tokens", "corpus.txt", "--out", "x.h5").stdout
            self.assertRegex(said, r"bits per byte  \d\.\d+ over \d+ bytes")
        # Another run starts from the folder with its tokenizer, unasked.
        (self.folder / "on.toml").write_text('init.from = "out"\ndata.corpus = "corpus.txt"\ntrain.tokens = 0\n'
                                             "train.batch = 8\n")
        self.fovea("run", "on.toml", "--out", "t")
        self.assertEqual(list(self.losses("t").values()), list(self.losses("s").values()))

    def test_dtypes(self):
        self.fovea("convert", "llama", "half", "--dtype", "bf16")
        self.assertEqual(self.config("half")["torch_dtype"], "bfloat16")
        tensors = read_safetensors(self.folder / "half/model.safetensors")
        self.assertEqual({dtype for dtype, _, _ in tensors.values()}, {"BF16"})
        full, half = self.score("llama", "full.h5"), self.score("half", "half.h5")
        self.assertLess(furthest(full, half), 0.02 * largest(full))

    def test_gpt2_shares_heads_by_repeating_them(self):
        text = self.fovea("convert", GOLDEN / "models/gpt2", "shared", "--kv-heads", "1").stdout
        self.assertIn("each is written as often as its query heads read it", text)
        self.fovea("convert", GOLDEN / "models/gpt2", "shared.safetensors", "--kv-heads", "1")
        folder, own = self.score("shared", "folder.h5"), self.score("shared.safetensors", "own.h5")
        self.assertLess(furthest(folder, own), 1e-5 * largest(own))

    def test_what_is_refused(self):
        (self.folder / "taken").mkdir()
        (self.folder / "taken/file").write_text("mine")
        (self.folder / "link").symlink_to("nowhere")
        for code, words, line in [
                (USAGE, ["llama", "taken"], "taken: is there already: name another folder, or remove it"),
                (USAGE, ["llama", "taken/file"], "taken/file: is there already"),
                (USAGE, ["llama", "link"], "link: is there already"),
                (USAGE, ["llama", "x", "--kv-heads", "3"], "--kv-heads 3 does not divide the model's 4"),
                (USAGE, ["llama", "x", "--shard-size", "much"], "--shard-size much: must be a size"),
                (USAGE, ["llama", "x", "--dtype", "i8"], "--dtype"),
                (INPUT, ["nowhere", "x"], "nowhere: cannot be opened"),
                (INPUT, ["taken", "x"], "taken: neither a finished run (model.safetensors) nor a Hugging Face model")]:
            with self.subTest(words):
                self.assertIn(line, self.refused(code, "convert", *words))
                self.assertFalse((self.folder / "x").exists())
        self.assertEqual((self.folder / "taken/file").read_text(), "mine")

    def test_folders_that_have_no_name(self):
        for name in ("", "/"):
            self.refused(USAGE, "convert", "llama", name)
        self.assertTrue((self.folder / "llama/config.json").exists(), "nothing else is taken for abandoned")
        self.assertIn("File name too long", self.refused(INPUT, "convert", "x" * 300, "out"))

    def test_what_is_no_tokenizer_is_not_taken_along(self):
        (self.folder / "bytes").write_text("a file of that name")
        self.fovea("run", "tiny.toml", "--out", "s")
        self.fovea("train-tokenizer", "corpus.txt", "tok.json", "--vocab", "300")
        self.fovea("run", "tiny.toml", "data.tokenizer=tok.json", "--out", "t")
        (self.folder / "tok.json").write_text("another file by now")
        for study in "st":
            [run] = self.index(study).values()
            self.fovea("convert", pathlib.Path(study) / run["directory"], study + "out")
            self.assertFalse((self.folder / (study + "out") / "tokenizer.json").exists())

    def test_files_that_no_reader_would_take(self):
        (self.folder / "llama/tokenizer.model").write_bytes(b"\xff" * 51_000_000)  # in hexadecimal digits there
        self.assertIn("its header would have", self.refused(INPUT, "convert", "llama", "own.safetensors"))
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("own")], [])

    def test_what_is_killed_leaves_nothing_that_looks_finished(self):
        wide = self.folder / "wide"
        shutil.copytree(self.folder / "llama", wide)
        vocabulary = 400_000  # 50 MB
        tensors = {name: (shape, array.array("f", data)) for name, (_, shape, data)
                   in read_safetensors(wide / "model.safetensors").items()}
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = ([vocabulary, WIDTH], array.array("f", bytes(4 * vocabulary * WIDTH)))
        write_safetensors(wide / "model.safetensors", tensors)
        config = self.config("wide")
        (wide / "config.json").write_text(json.dumps({**config, "vocab_size": vocabulary}))
        for target in ("out", "out.safetensors"):
            killed = 0
            for delay in (0.002, 0.005, 0.01, 0.02, 0.03):
                process = self.start("convert", "wide", target)
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                process.wait()
                if (self.folder / target).exists():
                    break  # it was faster
                killed += 1
            self.assertGreater(killed, 0)
            shutil.rmtree(self.folder / target, ignore_errors=True)
            pathlib.Path(self.folder / target).unlink(missing_ok=True)
            self.fovea("convert", "wide", target)
            left = [path.name for path in self.folder.iterdir() if path.name.startswith(target + ".")]
            self.assertEqual([name for name in left if name != "out.safetensors"], [], "of those that were killed")

    def test_a_full_disk(self):
        result = subprocess.run(["bash", "-c", 'ulimit -f 8; exec "$0" convert llama out', PROGRAM], cwd=self.folder,
                                capture_output=True, text=True, env=self.environment(), check=False,
                                preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
        self.assertEqual(result.returncode, 75, result.stderr)
        self.assertRegex(result.stderr, r"\Afovea: [^\n]*cannot be written: File too large \(make room\)\n\Z")
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("out")], [])


class Hostile(CheckpointsTest):
    """One line that names file and tensor, exit 3."""

    def refused_with(self, line, change):
        folder = self.folder / "bad"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder / "llama", folder)
        change(folder)
        message = self.refused(INPUT, "convert", "bad", "x")
        self.assertIn(line, message)
        self.assertIn("bad", message)

    def change_config(self, **keys):
        def change(folder):
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**config, **keys}))
        return change

    def change_tensors(self, edit):
        def change(folder):
            path = folder / "model.safetensors"
            tensors = {name: (shape, array.array("f", data))
                       for name, (_, shape, data) in read_safetensors(path).items()}
            edit(tensors)
            write_safetensors(path, tensors)
        return change

    def test_configurations(self):
        for line, keys in [("hidden_size must be an integer", {"hidden_size": "16"}),
                           ("hidden_size must be an integer", {"hidden_size": 2**70}),
                           ("num_hidden_layers must be an integer", {"num_hidden_layers": 1e300}),
                           ("num_key_value_heads = 3 does not divide", {"num_key_value_heads": 3}),
                           ("model_type \"mamba\" is not supported", {"model_type": "mamba"}),
                           ("vocab_size must be", {"vocab_size": -1}),
                           ("this model wants (512, 16)", {"vocab_size": 512}),
                           ("rope_type \"spiral\" is not supported", {"rope_scaling": {"type": "spiral"}})]:
            with self.subTest(keys):
                self.refused_with(line, self.change_config(**keys))

    def test_json(self):
        def write(text):
            return lambda folder: (folder / "config.json").write_text(text)
        self.refused_with("not valid JSON", write('{"model_type": '))
        self.refused_with('gives "model_type" twice', write('{"model_type": "llama", "model_type": "gpt2"}'))
        self.refused_with("nests deeper", write("[" * 1000000))
        self.refused_with("not a JSON object", write("[]"))

    def test_files_without_end(self):
        for name in ("config.json", "model.safetensors.index.json"):
            def extend(folder, name=name):
                if name != "config.json":
                    (folder / "model.safetensors").unlink()
                with open(folder / name, "a") as file:
                    file.truncate(2**36)  # bytes, none of them on the disk
            self.refused_with("68719476736 bytes of JSON", extend)
        for name in ("tokenizer.json", "tokenizer.model"):
            (self.folder / name).touch()
            os.truncate(self.folder / name, 2**36)
            line = self.refused(INPUT, "run", "tiny.toml", f"data.tokenizer={name}", "--out", "s")
            self.assertIn("68719476736 bytes", line)

    def test_tensors(self):
        name = "model.layers.1.mlp.up_proj.weight"
        self.refused_with(f"holds no tensor {name}", self.change_tensors(lambda tensors: tensors.pop(name)))
        self.refused_with("tensor more has no place", self.change_tensors(
            lambda tensors: tensors.update(more=([1], array.array("f", [0])))))
        self.refused_with(f"tensor {name} has the shape (16, 24), this model wants (24, 16)", self.change_tensors(
            lambda tensors: tensors.update({name: ([WIDTH, HIDDEN], tensors[name][1])})))
        self.refused_with("is it truncated?", lambda folder: os.truncate(
            folder / "model.safetensors", (folder / "model.safetensors").stat().st_size - 1))
        self.refused_with("holds neither", lambda folder: (folder / "model.safetensors").unlink())

    def test_heads_that_are_not_what_they_are_tied_to(self):
        def tie(folder):
            self.change_config(tie_word_embeddings=True)(folder)
        self.refused_with("tensor lm_head.weight differs from model.embed_tokens.weight", tie)
        tie(self.folder / "llama")
        self.change_tensors(lambda tensors: tensors.update(
            {"lm_head.weight": tensors["model.embed_tokens.weight"]}))(self.folder / "llama")
        self.fovea("convert", "llama", "tied")
        self.assertNotIn("lm_head.weight", read_safetensors(self.folder / "tied/model.safetensors"))

    def test_pipes_are_not_waited_for(self):
        for name in ("model.safetensors", "model.safetensors.index.json"):
            def replace(folder, name=name):
                (folder / "model.safetensors").unlink()
                os.mkfifo(folder / name)
            self.refused_with("is not a regular file", replace)
        os.mkfifo(self.folder / "pipe.bin")
        self.assertIn("is not a regular file", self.refused(INPUT, "convert", "pipe.bin", "x"))

    def test_own_files_that_lie(self):
        self.fovea("convert", "llama", "own.safetensors")
        content = (self.folder / "own.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        for line, metadata in [("not a JSON object", {"companion/config.json": "text:[]"}),
                               ("model_type must be a string", {"companion/config.json": 'text:{"model_type": 3}'}),
                               ("step is \"1\\x0a2\"", {"step": "1\n2"}),
                               ("of another version: 1\\x0a2", {"format": "1\n2"})]:
            with self.subTest(line):
                header = json.loads(content[8:8 + length])
                header["__metadata__"].update(metadata)
                text = json.dumps(header).encode()
                (self.folder / "bad.safetensors").write_bytes(
                    struct.pack("<Q", len(text)) + text + content[8 + length:])
                self.assertIn(line, self.refused(INPUT, "convert", "bad.safetensors", "x"))

    def test_an_own_file_that_says_where_to_write(self):
        self.fovea("convert", "llama", "own.safetensors")
        path = self.folder / "own.safetensors"
        content = path.read_bytes().replace(b"companion/generation_config.json", b"companion/../generation_conf.jso")
        path.write_bytes(content)
        self.assertIn("is damaged", self.refused(INPUT, "convert", "own.safetensors", "x"))


if __name__ == "__main__":
    unittest.main()
