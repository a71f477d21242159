#!/usr/bin/env python3
"""Makes the golden trajectories beside it: tokens, first weights, and what PyTorch comes to from them.

    python make.py          # needs torch, safetensors and h5py, which no test needs

Each NAME.toml is trained as fovea trains it: the same samples (drawn by Philox, as src/core/random.h counts), in grains
whose gradients are added up, clipped by the global norm, with AdamW that decays matrices alone. Once in float32, once
under autocast to bfloat16; and in float64, to say how much of a difference float32 itself makes. Logits are float32
before the loss and RoPE is float32 under autocast too, as in transformers on a GPU. One trajectory's rounding is one draw
of noise, so that float32 and autocast are repeated from the same weights on the samples of ORDERS - 1 further seeds.
"""
import math
import pathlib
import sys
import tomllib

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peers"))
from draws import sample_start  # noqa: E402

TOKENS, ORDERS = 8192, 6
EVERY = 20  # data.held_out_every
BETAS, EPSILON, FLOOR = (0.9, 0.95), 1e-8, 0.1  # the defaults of fovea's train.*


def make_tokens(vocab):
    """A chain in which most tokens have few successors: loss falls fast, and never to zero."""
    draw = np.random.default_rng(1)
    successors = draw.integers(0, vocab, (vocab, 3))
    tokens = [0]
    while len(tokens) < TOKENS:
        tokens.append(int(successors[tokens[-1], draw.integers(3)] if draw.random() < 0.9 else draw.integers(vocab)))
    return np.array(tokens, dtype="<u2")


def first_weights(model, vocab, seed):
    """By fovea's names. Norms are off 1 and biases off 0, so that each of them shows."""
    draw = torch.Generator().manual_seed(seed)
    normal = lambda *shape, std: std * torch.randn(*shape, generator=draw)
    width, heads = model["width"], model["q_heads"]
    dim = width // heads
    kv, hidden = model.get("kv_heads", heads) * dim, model.get("hidden", 4 * width)
    gpt2 = model["family"] == "gpt2"
    weights = {"embed.weight": normal(vocab, width, std=0.3)}

    def norm(name):
        weights[name + ".weight"] = 1 + normal(width, std=0.1)
        if gpt2:
            weights[name + ".bias"] = normal(width, std=0.1)

    def linear(name, rows, columns):
        weights[name + ".weight"] = normal(rows, columns, std=columns ** -0.5)
        if gpt2:
            weights[name + ".bias"] = normal(rows, std=0.1)

    if gpt2:
        weights["position.weight"] = normal(model["context"], width, std=0.1)
    for layer in range(model["layers"]):
        block = f"blocks.{layer}."
        norm(block + "attention_norm")
        for name, rows in (("q", width), ("k", kv), ("v", kv), ("out", width)):
            linear(f"{block}attention.{name}", rows, width)
        norm(block + "mlp_norm")
        for name in ("up",) if gpt2 else ("gate", "up"):
            linear(f"{block}mlp.{name}", hidden, width)
        linear(block + "mlp.down", width, hidden)
    norm("final_norm")
    if not gpt2:
        weights["head.weight"] = normal(vocab, width, std=width ** -0.5)
    return weights


def rotate(x, theta):
    """RoPE on (B, H, T, D): pairs (i, i + D/2)."""
    length, dim = x.shape[-2:]
    frequencies = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequencies)
    wide = torch.promote_types(x.dtype, torch.float32)
    cosine, sine = angle.cos().to(wide), angle.sin().to(wide)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], dim=-1)


def logits_of(w, model, tokens):
    """tokens (B, T) -> (B, T, V)."""
    gpt2 = model["family"] == "gpt2"
    width, heads = model["width"], model["q_heads"]
    kv_heads, dim = model.get("kv_heads", heads), width // heads
    batch, length = tokens.shape

    def norm(x, name):
        if gpt2:
            return F.layer_norm(x, (width,), w[name + ".weight"], w[name + ".bias"], 1e-5)
        return F.rms_norm(x, (width,), w[name + ".weight"], 1e-5)

    def linear(x, name):
        return F.linear(x, w[name + ".weight"], w.get(name + ".bias"))

    x = w["embed.weight"][tokens]
    if gpt2:
        x = x + w["position.weight"][:length]
    for layer in range(model["layers"]):
        block = f"blocks.{layer}."
        n = norm(x, block + "attention_norm")
        q, k, v = (linear(n, f"{block}attention.{name}").view(batch, length, count, dim).transpose(1, 2)
                   for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)))
        if not gpt2:
            q, k = rotate(q, 1e4), rotate(k, 1e4)
        k, v = (t.repeat_interleave(heads // kv_heads, dim=1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + linear(y.transpose(1, 2).reshape(batch, length, width), block + "attention.out")
        n = norm(x, block + "mlp_norm")
        if gpt2:
            inner = F.gelu(linear(n, block + "mlp.up"), approximate="tanh")
        else:
            inner = F.silu(linear(n, block + "mlp.gate")) * linear(n, block + "mlp.up")
        x = x + linear(inner, block + "mlp.down")
    return F.linear(norm(x, "final_norm"), w["embed.weight" if gpt2 else "head.weight"])


def learning_rate(train, step, steps):
    warmup = max(1, round(train["warmup"] * steps))
    shape = {"linear": 1 - step / steps,
             "cosine": FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * step / steps))}[train["schedule"]]
    return train["lr"] * shape * min(1, (step + 1) / warmup)


def train(config, first, stream, dtype, autocast=False, seed=0):
    """Losses and gradient norms of each step, and the last weights; `seed` more than the configuration's."""
    model, options = config["model"], config["train"]
    length, batch, grain = model["context"], options["batch"], options["grain"]
    steps = options["tokens"] // (batch * length)
    w = {name: value.to(dtype).clone().requires_grad_() for name, value in first.items()}
    groups = [{"params": [v for v in w.values() if v.dim() > 1], "weight_decay": options["weight_decay"]},
              {"params": [v for v in w.values() if v.dim() == 1], "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, betas=BETAS, eps=EPSILON)
    losses, norms = [], []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(options, step, steps)
        starts = [sample_start(options["seed"] + seed, step * batch + i, len(stream) - length - 1) for i in range(batch)]
        optimizer.zero_grad()
        loss = 0.0
        for begin in range(0, batch, grain):
            rows = torch.stack([stream[s:s + length + 1] for s in starts[begin:begin + grain]])
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                logits = logits_of(w, model, rows[:, :-1])
            logits = logits.float() if autocast else logits
            part = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum") / (batch * length)
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(w.values(), options["clip"]).item()
        optimizer.step()
        losses.append(loss)
        norms.append(norm)
    return np.array(losses), np.array(norms), {name: value.detach() for name, value in w.items()}


def compared(weights):
    """All but K's biases: softmax does not see them, so that their gradient is 0 and they follow its rounding alone."""
    return [name for name in weights if not name.endswith("attention.k.bias")]


def distance(w, of):
    """|w - of| / |of| over the compared weights laid end to end."""
    flat = lambda x: torch.cat([x[name].double().flatten() for name in compared(of)])
    return ((flat(w) - flat(of)).norm() / flat(of).norm()).item()


def furthest(w, of):
    """The largest difference within a tensor by its largest entry, over the compared ones."""
    return max(((w[name].double() - of[name].double()).abs().max() / of[name].abs().max()).item()
               for name in compared(of))


def main():
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for path in sorted(HERE.glob("*.toml")):
        config = tomllib.loads(path.read_text())
        vocab, block = config["data"]["vocab"], config["data"]["block_bytes"] // 2
        tokens = make_tokens(vocab)
        (HERE / config["data"]["corpus"]).write_bytes(tokens.tobytes())
        stream = torch.cat([b for i, b in enumerate(torch.tensor(tokens.astype(np.int64)).split(block)) if i % EVERY])
        first = first_weights(config["model"], vocab, config["train"]["seed"])

        losses, norms, last = train(config, first, stream, torch.float32)
        clipped = int((norms > config["train"]["clip"]).sum())
        assert 10 <= clipped <= 40, f"{clipped} steps clip"
        exact_losses, _, exact = train(config, first, stream, torch.float64)
        low_losses, _, low = train(config, first, stream, torch.float32, autocast=True)
        others = [[train(config, first, stream, torch.float32, autocast, seed) for autocast in (False, True)]
                  for seed in range(1, ORDERS)]
        save_file(first, HERE / f"{path.stem}_first.safetensors")
        save_file(last, HERE / f"{path.stem}_last.safetensors")
        with h5py.File(HERE / f"{path.stem}.h5", "w") as file:
            file["loss"] = np.stack([losses] + [plain[0] for plain, _ in others])
            file["grad_norm"] = norms
            file["autocast/loss"] = np.stack([low_losses] + [autocast[0] for _, autocast in others])
            file["autocast/distance"] = np.array([distance(low, last)] +
                                                 [distance(autocast[2], plain[2]) for plain, autocast in others])
            file.attrs["torch"] = str(torch.__version__)
        print(f"{path.stem}: loss {losses[0]:.4f} to {losses[-1]:.4f}, norms {norms.min():.3f} to {norms.max():.3f}, "
              f"{clipped} of {len(norms)} steps clip, {sum(v.numel() for v in first.values())} parameters")
        for what, other_losses, other in (("float64", exact_losses, exact), ("autocast", low_losses, low)):
            print(f"  {what:8} losses within {np.abs(other_losses - losses).max():.2e}, weights: distance "
                  f"{distance(other, last):.2e}, furthest {furthest(other, last):.2e}")


if __name__ == "__main__":
    main()
