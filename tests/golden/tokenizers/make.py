#!/usr/bin/env python3
"""Writes the golden files of this folder: for each kind a tokenizer, trained on little text, and what the reference makes
of text.bin with it: KIND.ids, uint16; and the merges that it trains on text.bin. Needs PyPI's tokenizers and sentencepiece; the tests need neither.

The library of Debian 12 is sentencepiece 0.1.97; later ones settle ties of unigram models otherwise, so that version
makes the .model's ids."""
import json
import os
import pathlib
import struct
import sys

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import kinds  # noqa: E402
import texts  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
VOCABULARY = 700


def write_ids(name, ids):
    (HERE / f"{name}.ids").write_bytes(struct.pack(f"<{len(ids)}H", *ids))


def main():
    text = texts.mixed_text(24_000, seed=3)
    (HERE / "text.bin").write_bytes(text)
    readable = text.decode(errors="replace")
    lines = [line for line in texts.mixed_text(150_000, seed=4).decode(errors="replace").split("\n") if line]
    for kind in kinds.KINDS:
        tokenizer, state = kinds.build(kind, lines, VOCABULARY)
        (HERE / f"{kind}.json").write_text(state, encoding="utf-8")
        write_ids(kind, tokenizer.encode(readable, add_special_tokens=False).ids)
    # As `fovea train-tokenizer` trains: the whole text, no pair that occurs once.
    for name, cut in (("gpt2", kinds.pre_tokenizers.ByteLevel(add_prefix_space=False)), ("llama3", kinds.split_then_bytes(kinds.LLAMA3))):
        trained = json.loads(kinds.byte_level([readable], VOCABULARY, cut, ["<|endoftext|>"], min_frequency=2).to_str())
        merges = "".join(" ".join(merge) + "\n" for merge in trained["model"]["merges"])
        (HERE / f"trained_{name}.merges").write_text(merges, encoding="utf-8")
    import sentencepiece
    if not sentencepiece.__version__.startswith("0.1."):
        print(f"sentencepiece {sentencepiece.__version__}: the .model files are left as they are", file=sys.stderr)
        return
    for model_type in ("bpe", "unigram"):
        model = kinds.sentencepiece_model(lines, 1500, model_type)
        (HERE / f"{model_type}.model").write_bytes(model)
        write_ids(model_type, sentencepiece.SentencePieceProcessor(model_proto=model).encode(readable))


if __name__ == "__main__":
    main()
