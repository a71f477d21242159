#!/usr/bin/env python3
"""Converts a drawn model of Llama-2-7B's shape (bf16, sharded: 13.5 GB) and says what it took.

    tests/experiments/large_conversion.py build/fovea DIRECTORY [LAYERS]

Needs twice the model's size in DIRECTORY, which it clears up. Prints for each conversion the seconds, the rate, the
largest memory, and beside them what the system's cp takes for the same bytes. No part of the ordinary tests.
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import time

WIDTH, HEADS, HIDDEN, VOCABULARY, SHARD = 4096, 32, 11008, 32000, 5 * 10**9
HIGH = bytes(0x3c | (byte & 1) | (byte & 2) << 6 for byte in range(256))  # exponents of 2^-7 .. 2^-2, both signs


def block(count):
    """Random bf16, none of them odd."""
    data = bytearray(2 * count)
    data[0::2], data[1::2] = os.urandom(count), os.urandom(count).translate(HIGH)
    return bytes(data)


def tensors(layers):
    yield "model.embed_tokens.weight", [VOCABULARY, WIDTH]
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", [WIDTH]
        yield prefix + "post_attention_layernorm.weight", [WIDTH]
        for name in "qkvo":
            yield f"{prefix}self_attn.{name}_proj.weight", [WIDTH, WIDTH]
        yield prefix + "mlp.gate_proj.weight", [HIDDEN, WIDTH]
        yield prefix + "mlp.up_proj.weight", [HIDDEN, WIDTH]
        yield prefix + "mlp.down_proj.weight", [WIDTH, HIDDEN]
    yield "model.norm.weight", [WIDTH]
    yield "lm_head.weight", [VOCABULARY, WIDTH]


def elements(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def shards(layers):
    part, size = [], 0
    for name, shape in tensors(layers):
        if part and size + 2 * elements(shape) > SHARD:
            yield part
            part, size = [], 0
        part.append((name, shape))
        size += 2 * elements(shape)
    yield part


def write_model(folder, layers):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({
        "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": layers,
        "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "intermediate_size": HIDDEN, "torch_dtype": "bfloat16",
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "tie_word_embeddings": False}), encoding="utf-8")
    values, parts, where, total = block(1 << 25), list(shards(layers)), {}, 0
    for number, part in enumerate(parts):
        name = f"model-{number + 1:05}-of-{len(parts):05}.safetensors"
        header, offset = {"__metadata__": {"format": "pt"}}, 0
        for tensor, shape in sorted(part):
            header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + 2 * elements(shape)]}
            offset += 2 * elements(shape)
            where[tensor] = name
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / name, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for left in range(offset, 0, -len(values)):
                file.write(values[:left])
        total += offset
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": total},
                                                                     "weight_map": where}), encoding="utf-8")
    return total


def measured(words):
    """Seconds to the end, and the largest resident memory in bytes."""
    begin = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{words}: {status}")
    return time.monotonic() - begin, usage.ru_maxrss * 1024


def size_of(path):
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))


def main():
    program, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    layers = int(sys.argv[3]) if len(sys.argv) > 3 else 32
    place = directory / "fovea-large"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        total = write_model(place / "in", layers)
        print(f"{total / 2 / 1e9:.2f} G parameters in bf16, {total / 1e9:.1f} GB in {len(list(shards(layers)))} files")
        cases = [("cp", ["sh", "-c", f"cp -r {place}/in {place}/out && sync {place}/out/*"]),
                 ("to fovea's file", [program, "convert", place / "in", place / "out.safetensors"]),
                 ("to a folder", [program, "convert", place / "in", place / "out"]),
                 ("to a folder, 8 KV heads, mean", [program, "convert", place / "in", place / "out", "--kv-heads", "8"]),
                 ("to a folder, 8 KV heads, aligned", [program, "convert", place / "in", place / "out", "--kv-heads", "8",
                                                       "--init", "aligned"])]
        for name, words in cases:
            seconds, memory = measured(words)
            out = place / "out.safetensors" if (place / "out.safetensors").exists() else place / "out"
            print(f"{name:34} {seconds:6.1f} s  {size_of(out) / seconds / 1e6:6.0f} MB/s written  "
                  f"{memory / 2**20:6.0f} MiB at most", flush=True)
            shutil.rmtree(out) if out.is_dir() else out.unlink()
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
