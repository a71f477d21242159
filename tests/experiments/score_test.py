#!/usr/bin/env python3
"""fovea score from the outside: what it reads, what it says, and what it refuses."""
import json
import math
import re
import shutil
import struct
import unittest

from program import GOLDEN, INPUT, UNAVAILABLE, USAGE, ProgramTest, values

GPT2 = GOLDEN / "models/gpt2"  # 101 tokens, 48 positions


def uint16(tokens):
    return struct.pack(f"<{len(tokens)}H", *tokens)


def llm_c(tokens):
    return struct.pack("<256i", 20240520, 1, len(tokens), *[0] * 253) + uint16(tokens)


def tokenizer(tokens, merges):
    """A tokenizer.json of characters and what they merge to; <s> stands before a text."""
    begin = {"id": 0, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                         {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
             "vocab": {token: n for n, token in enumerate(["<s>", *tokens])}, "merges": merges}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [begin], "normalizer": None,
            "pre_tokenizer": None, "post_processor": template, "decoder": {"type": "Fuse"}, "model": model}


class Score(ProgramTest):
    def score(self, model, tokens, *words):
        """What it prints, and the log-probabilities."""
        said = self.fovea("score", model, "--tokens", tokens, "--out", "scores.h5", *words).stdout
        return said, values(self.folder / "scores.h5", "/logprobs")

    def refusal(self, code, model, tokens, *words):
        line = self.refused(code, "score", model, "--tokens", tokens, "--out", "scores.h5", *words)
        self.assertFalse((self.folder / "scores.h5").exists())
        return line

    def number(self, said, what):
        return float(re.search(rf"^{what} +(\S+)", said, re.MULTILINE).group(1))

    def file(self, name, content):
        (self.folder / name).write_bytes(content)
        return name

    def byte_model(self, *words, name="study"):
        self.fovea("run", "tiny.toml", "--out", name, "--quiet", *words)
        [run] = (path for path in (self.folder / name).iterdir() if path.is_dir())
        return run

    def test_a_byte_model_reads_text_and_says_bits_per_byte(self):
        model = self.byte_model()
        text = ("In the beginning: caf\u00e9. " * 5).encode() + b"\xff\x00 and so on"
        said, logprobs = self.score(model, self.file("text", text))
        windows = len(text) // 16
        self.assertEqual(len(logprobs), windows * 15)
        self.assertIn(f"{windows * 15} tokens in sequences of 16\n", said)
        self.assertRegex(said, rf"not scored +{len(text) % 16} tokens at the end")
        loss = self.number(said, "loss")
        self.assertAlmostEqual(loss, -sum(logprobs) / len(logprobs), places=5)
        self.assertAlmostEqual(self.number(said, "perplexity"), math.exp(loss), delta=1e-3 * math.exp(loss))
        self.assertAlmostEqual(self.number(said, "bits per byte"), loss / math.log(2), places=5)
        self.assertNotIn("gradient", said)
        # The same bytes as tokens.
        for name, content in (("raw.bin", uint16(text)), ("llm.bin", llm_c(text))):
            again, same = self.score(model, self.file(name, content))
            self.assertEqual((again, same), (said, logprobs))

    def test_length(self):
        model = self.byte_model()
        tokens = self.file("t.bin", uint16(range(97, 122)))
        said, logprobs = self.score(model, tokens, "--length", 5)
        self.assertEqual(len(logprobs), 5 * 4)
        self.assertNotIn("not scored", said)
        # RoPE goes on beyond the context; what comes later changes nothing before it.
        _, longer = self.score(model, tokens, "--length", 25)
        self.assertEqual(len(longer), 24)
        for one, other in zip(longer, logprobs[:4]):
            self.assertAlmostEqual(one, other, places=5)
        # A file shorter than the context is one sequence.
        said, logprobs = self.score(model, self.file("short", b"abc"))
        self.assertIn("2 tokens in sequences of 3\n", said)

    def test_a_models_own_tokenizer_reads_text(self):
        model = self.folder / "model"
        shutil.copytree(GOLDEN / "models/llama_mha", model)
        tokens = [*"abcdefghijklmnopqrstuvwxyz \u00e9", "th", "the"]
        (model / "tokenizer.json").write_text(json.dumps(tokenizer(tokens, ["t h", "th e"])))
        ids = {token: n + 1 for n, token in enumerate(tokens)}
        text = "the caf\u00e9 of the".encode()
        said, logprobs = self.score(model, self.file("text", text))
        wanted = [0, *(ids[token] for token in ("the", *" caf\u00e9 of ", "the"))]
        self.assertIn(f"{len(wanted) - 1} tokens in sequences of {len(wanted)}\n", said)
        self.assertIn(f" over {len(text)} bytes\n", said)
        bits = -sum(logprobs) / math.log(2) / len(text)
        self.assertAlmostEqual(self.number(said, "bits per byte"), bits, places=5)
        self.fovea("convert", model, "own.safetensors")  # which takes the tokenizer along
        self.assertEqual(self.score("own.safetensors", "text"), (said, logprobs))
        as_tokens, same = self.score(model, self.file("t.bin", uint16(wanted)))
        self.assertEqual(same, logprobs)
        self.assertNotIn("bits per byte", as_tokens)
        # One that cannot be read is in the way of text alone.
        (model / "tokenizer.json").write_text("{}")
        self.assertEqual(self.score(model, "t.bin"), (as_tokens, logprobs))
        (self.folder / "scores.h5").unlink()
        self.assertIn("tokenizer.json", self.refusal(INPUT, model, "text"))

    def test_gradients_of_a_run_have_its_own_names(self):
        model = self.byte_model()
        said, _ = self.score(model, self.file("text", b"let there be light"), "--grads")
        norm = math.sqrt(sum(sum(x * x for x in values(self.folder / "scores.h5", f"/grads/{name}")) for name in (
            "embed.weight", "head.weight", "final_norm.weight", "blocks.0.attention_norm.weight",
            "blocks.0.mlp_norm.weight", *(f"blocks.0.attention.{part}.weight" for part in ("q", "k", "v", "out")),
            *(f"blocks.0.mlp.{part}.weight" for part in ("gate", "up", "down")))))
        self.assertAlmostEqual(self.number(said, "gradient norm"), norm, delta=1e-5 * norm)
        self.assertAlmostEqual(values(self.folder / "scores.h5", "/grad_norm")[0], norm, delta=1e-6 * norm)

    def test_types_of_rope_go_by_the_length(self):
        """Of one model's weights, as they were drawn: only the frequencies differ."""
        tokens = self.file("t.bin", uint16([(7 * n * n + n) % 256 for n in range(32)]))

        def scores(kind, *words, length):
            name = kind + "".join(words)
            model = self.folder / name
            if not model.is_dir():
                self.byte_model("train.tokens=0", f"model.rope_type={kind}",
                                *(f"model.rope_{word}" for word in words), name=name)
            [run] = (path for path in model.iterdir() if path.is_dir())
            return self.score(run, tokens, "--length", length)[1]

        plain, doubled = scores("default", length=16), scores("default", length=32)
        for kind in ("linear", "ntk", "yarn", "llama3"):
            self.assertNotEqual(scores(kind, "factor=4", "original_context=8", length=16), plain, kind)
        self.assertEqual(scores("dynamic", "factor=2", length=16), plain)
        self.assertNotEqual(scores("dynamic", "factor=2", length=32), doubled)
        same = ("short_factors=[1,1]", "long_factors=[1,4]", "factor=1")
        self.assertEqual(scores("longrope", *same, length=16), plain)
        self.assertNotEqual(scores("longrope", *same, length=32), doubled)
        self.assertNotEqual(scores("proportional", "fraction=0.5", length=16), plain)

    def test_what_it_cannot_read(self):
        tokens = list(range(60))
        self.assertIn("token 101 is not in the model's vocabulary of 101",
                      self.refusal(INPUT, GPT2, self.file("beyond.bin", uint16([1, 101, 2]))))
        self.assertIn("half a token", self.refusal(INPUT, GPT2, self.file("odd.bin", b"\1\0\2")))
        self.assertIn("no token", self.refusal(INPUT, GPT2, self.file("empty.bin", b"")))
        self.assertIn("holds 1 tokens", self.refusal(INPUT, GPT2, self.file("one.bin", uint16([1]))))
        self.assertIn("truncated", self.refusal(INPUT, GPT2, self.file("torn.bin", llm_c(tokens)[:-1])))
        self.assertIn("positions for 48",
                      self.refusal(INPUT, GPT2, self.file("long.bin", uint16(tokens)), "--length", 49))
        self.assertIn("fewer than a sequence of 61", self.refusal(INPUT, GPT2, "long.bin", "--length", 61))
        self.assertIn("is not an HDF5 file", self.refusal(INPUT, GPT2, self.file("text.h5", b"words")))
        self.assertIn("has no tokenizer", self.refusal(INPUT, GPT2, self.file("text", b"words")))
        self.assertIn("there is no such file", self.refusal(INPUT, GPT2, "absent"))
        self.assertIn("sequences of 48 already",
                      self.refusal(USAGE, GPT2, GPT2 / "reference.h5", "--length", 24))
        for length in ("1", "0", "-3", "many"):
            self.assertIn("--length", self.refusal(USAGE, GPT2, "long.bin", "--length", length))

    def test_it_writes_over_no_file_of_another_kind(self):
        for name in ("model.safetensors", "config.json"):
            content = (GPT2 / name).read_bytes()
            (self.folder / name).write_bytes(content)
            line = self.refused(USAGE, "score", GPT2, "--tokens", GPT2 / "reference.h5", "--out", name)
            self.assertIn("is there already, and no HDF5 file", line)
            self.assertEqual((self.folder / name).read_bytes(), content)
        self.score(GPT2, GPT2 / "reference.h5")
        self.score(GPT2, GPT2 / "reference.h5")  # over its own answer

    def test_models_of_other_kinds_are_not_there_yet(self):
        (self.folder / "model").mkdir()
        for kind in ("t5", "vit"):
            (self.folder / "model/config.json").write_text(json.dumps({"model_type": kind}))
            self.assertIn(f"model_type {kind}", self.refusal(UNAVAILABLE, "model", GPT2 / "reference.h5"))


if __name__ == "__main__":
    unittest.main()
