#!/usr/bin/env python3
"""Trains the Llama shape of configs/gqa.toml with PyTorch from a run's own initial weights on its own samples.

    run="configs/gqa.toml study.kind=train model.norm_epsilon=1.1920929e-7 train.seed=2"
    ./fovea run $run --out runs/parity
    ./fovea run $run train.tokens=4096 train.lr=1e-30 --out runs/start      # a step that moves nothing
    bible -f gen1:1-rev22:21 > kjv.txt
    python tests/peers/same_draws.py runs/start/*/model.safetensors runs/parity/*/run.h5 kjv.txt

Prints each run's training loss beside PyTorch's, and the held-out loss of both (docs/findings.md). Needs torch,
safetensors and h5py, which the project's own tests do not.
"""
import argparse
import math

import h5py
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from draws import sample_start

BATCH, CONTEXT, BLOCK, EVERY = 32, 128, 4096, 20
HEADS, LAYERS, EPSILON, THETA = 8, 4, 1.1920929e-7, 1e4
LR, FLOOR, DECAY, BETAS = 2e-3, 0.1, 0.1, (0.9, 0.95)


def rotate(x, cosine, sine):
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], dim=-1)


def logits_of(w, tokens):
    """The decoder on weights by name: tokens (B, T) -> (B, T, V)."""
    x = w["embed.weight"][tokens]
    batch, length, width = x.shape
    dim = width // HEADS
    angle = torch.outer(torch.arange(length).float(), THETA ** (-torch.arange(0, dim, 2).float() / dim))
    cosine, sine = angle.cos(), angle.sin()
    norm = lambda y, name: F.rms_norm(y, (width,), w[name], EPSILON)
    for layer in range(LAYERS):
        block = f"blocks.{layer}."
        n = norm(x, block + "attention_norm.weight")
        q, k, v = (F.linear(n, w[f"{block}attention.{name}.weight"]).view(batch, length, HEADS, dim).transpose(1, 2)
                   for name in "qkv")
        y = F.scaled_dot_product_attention(rotate(q, cosine, sine), rotate(k, cosine, sine), v, is_causal=True)
        x = x + F.linear(y.transpose(1, 2).reshape(batch, length, width), w[block + "attention.out.weight"])
        n = norm(x, block + "mlp_norm.weight")
        gate, up = (F.linear(n, w[f"{block}mlp.{name}.weight"]) for name in ("gate", "up"))
        x = x + F.linear(F.silu(gate) * up, w[block + "mlp.down.weight"])
    return F.linear(norm(x, "final_norm.weight"), w["embed.weight"])


def loss_of(w, source, starts):
    window = torch.stack([source[s:s + CONTEXT + 1] for s in starts])
    return F.cross_entropy(logits_of(w, window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", help="model.safetensors with the initial weights")
    parser.add_argument("run", help="run.h5 of the run to repeat")
    parser.add_argument("corpus", help="the text")
    arguments = parser.parse_args()

    data = torch.frombuffer(bytearray(open(arguments.corpus, "rb").read()), dtype=torch.uint8).long()
    blocks = data[:len(data) // BLOCK * BLOCK].split(BLOCK)
    train = torch.cat([block for i, block in enumerate(blocks) if i % EVERY])
    held_out = torch.cat(blocks[::EVERY])

    run = h5py.File(arguments.run)
    seed, expected = int(run.attrs["seed"]), run["series/train_loss"][()]
    weights = {name: value.requires_grad_() for name, value in load_file(arguments.start).items()}
    matrices = [w for w in weights.values() if w.dim() > 1]
    vectors = [w for w in weights.values() if w.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0}],
                                  lr=LR, betas=BETAS)
    steps = len(expected)
    warmup = max(1, round(0.025 * steps))
    print("step  PyTorch   fovea     difference")
    for step in range(steps):
        cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = LR * cosine * min(1, (step + 1) / warmup)
        starts = [sample_start(seed, step * BATCH + i, len(train) - CONTEXT - 1) for i in range(BATCH)]
        loss = loss_of(weights, train, starts)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        if step < 15 or (step + 1) % 50 == 0 or step + 1 == steps:
            print(f"{step + 1:4}  {loss.item():.6f}  {expected[step]:.6f}  {loss.item() - expected[step]:+.1e}", flush=True)

    starts = range(0, len(held_out) - CONTEXT, CONTEXT)
    with torch.no_grad():
        total = sum(loss_of(weights, held_out, starts[i:i + BATCH]).item() * len(starts[i:i + BATCH])
                    for i in range(0, len(starts), BATCH))
    print(f"held out, {len(starts)} windows: PyTorch {total / len(starts):.4f}, fovea {run['final/loss'][()]:.4f}")


if __name__ == "__main__":
    main()
