#!/usr/bin/env python3
"""Holds what fovea exports to transformers: drawn models of every family, written as Hugging Face folders, must have
the same logits in both, and golden folders that went through fovea's own file must come out as they were.

    tests/golden/models/transformers_reads.py build/fovea

Needs PyPI's torch, transformers, safetensors and h5py; no part of the ordinary tests.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, logging

GOLDEN = pathlib.Path(__file__).parent
SMALL = ["model.layers=3", "model.width=48", "model.q_heads=4", "model.head_dim=16", "model.hidden=40",
         "model.context=64", "model.init_std=0.3", "train.tokens=0", "train.batch=2", "data.corpus=random:65536"]
# Name, what differs from SMALL, and what convert is told.
DRAWN = [
    ("llama", [], []),
    ("llama-gqa", ["model.kv_heads=2"], []),
    ("llama-tied", ["model.tie_embeddings=yes", "model.qkv_bias=yes", "model.out_bias=yes", "model.mlp_bias=yes"], []),
    ("llama-as-qwen2", ["model.qkv_bias=yes"], []),
    ("llama-as-qwen3", ["model.qk_norm=yes"], []),
    ("llama-layers", ["model.kv_heads_per_layer=[4, 2, 1]"], []),
    ("llama-to-gqa", [], ["--kv-heads", "2", "--init", "mean"]),
    ("llama-interleaved", ["model.rope_interleaved=true"], []),
    ("mistral", ["model.family=mistral", "model.sliding_window=8"], []),
    ("qwen2", ["model.family=qwen2", "model.kv_heads=2"], ["--kv-heads", "1", "--init", "aligned"]),
    ("qwen2-windows", ["model.family=qwen2", "model.sliding_window=8",
                       "model.attention=[\"full\", \"window\", \"window\"]"], []),
    ("qwen3", ["model.family=qwen3", "model.kv_heads=2"], []),
    ("gpt2", ["model.family=gpt2", "model.head_dim=12"], []),
    ("gpt2-to-gqa", ["model.family=gpt2", "model.head_dim=12"], ["--kv-heads", "2", "--init", "first"]),
    ("neox", ["model.family=neox", "model.head_dim=12", "model.rope_fraction=0.5"], []),
    ("neox-to-mqa", ["model.family=neox", "model.head_dim=12", "model.parallel_residual=no"],
     ["--kv-heads", "1", "--init", "mean"]),
    ("gemma", ["model.family=gemma", "model.kv_heads=1"], []),
    ("gemma2", ["model.family=gemma2", "model.kv_heads=2", "model.sliding_window=8"], []),
    ("gemma2-scale", ["model.family=gemma2", "model.sliding_window=8", "model.attention_scale=0.2"], []),
]


def fovea(program, *words):
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def transformers_logits(folder, tokens):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(torch.tensor(tokens)).logits.numpy()


def distance(actual, expected):
    return float(numpy.abs(actual - expected).max() / numpy.abs(expected).max())


def drawn(program, place, name, keys, options):
    config = place / f"{name}.toml"
    config.write_text("", encoding="utf-8")
    fovea(program, "run", config, *SMALL, *keys, "--out", place / name, "--quiet")
    (run,) = [file.parent for file in (place / name).rglob("model.safetensors")]
    folder, own = place / f"{name}-folder", place / f"{name}.safetensors"
    fovea(program, "convert", run, own, *options)
    said = fovea(program, "convert", run, folder, *options)
    tokens = numpy.random.default_rng(0).integers(0, 256, (2, 40))
    with h5py.File(place / "tokens.h5", "w") as file:
        file["tokens"] = tokens
    fovea(program, "score", own, "--tokens", place / "tokens.h5", "--out", place / "ours.h5", *LOGITS)
    fovea(program, "score", folder, "--tokens", place / "tokens.h5", "--out", place / "folder.h5", *LOGITS)
    with h5py.File(place / "ours.h5") as ours, h5py.File(place / "folder.h5") as theirs:
        return (distance(transformers_logits(folder, tokens), ours["logits"][:]),
                distance(theirs["logits"][:], ours["logits"][:]), said.split(", ")[0].split(": ")[1])


def tensors_of(folder):
    tensors = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():
                tensor = opened.get_tensor(name)
                tensors[name] = (tensor.dtype, tuple(tensor.shape), tensor.flatten().view(torch.uint8).numpy().tobytes())
    return tensors


def golden(program, place, folder):
    own, out = place / f"{folder.name}.safetensors", place / "golden" / folder.name
    fovea(program, "convert", folder, own)
    fovea(program, "convert", own, out, "--shard-size", "100 KiB")
    with h5py.File(folder / "reference.h5") as file:
        error = distance(transformers_logits(out, file["tokens"][:].astype("int64")), file["logits"][:])
    same = tensors_of(out) == tensors_of(folder)
    config = json.loads((out / "config.json").read_text()) == json.loads((folder / "config.json").read_text())
    return error, same, config


LOGITS = []  # what score wants to be told


def main():
    program = sys.argv[1]
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    worst = 0.0
    if "--logits" in fovea(program, "score", "--help"):
        LOGITS.append("--logits")
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        for case in DRAWN:
            theirs, ours, family = drawn(program, place, *case)
            print(f"{case[0]:22} as {family:9} transformers {theirs:.1e}, read again {ours:.1e}")
            worst = max(worst, theirs, ours)
        for folder in sorted(file.parent for file in GOLDEN.glob("*/config.json")):
            error, same, config = golden(program, place, folder)
            print(f"{folder.name:28} transformers {error:.1e}, tensors {'same' if same else 'DIFFER'}, "
                  f"config.json {'same' if config else 'DIFFERS'}")
            worst = max(worst, error, 0 if same and config else 1)
    print(f"worst {worst:.1e}")
    return 0 if worst < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
