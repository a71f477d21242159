#!/usr/bin/env python3
"""Times training steps of GPT-2- and Llama-shaped decoders in PyTorch on random tokens (needs PyPI's torch).

Each line of standard input is the name of a case (cases.py: train/...; train_compiled/... by torch.compile) and for
how many seconds to time it; the answer is a line of JSON with the median seconds of a step, of at least two: of the
processor on one thread, real on several and with --device cuda. bf16 is autocast. The recipe is that of fovea's runs: fused
AdamW (0.9, 0.95; decay 0.1 on matrices), a gradient norm of at most 1, tied embeddings, no dropout.
"""
import argparse
import json
import re
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

NAME = re.compile(r"(train|train_compiled)/(f32|bf16)/(gpt2|llama)_l(\d+)_c(\d+)_hq(\d+)_hkv(\d+)_v(\d+)"
                  r"/b(\d+)_t(\d+)$")


class Shape:
    def __init__(self, name):
        match = NAME.match(name)
        if not match:
            raise ValueError(f"{name} names no training step")
        self.compiled, self.bf16, self.gpt2 = match[1] == "train_compiled", match[2] == "bf16", match[3] == "gpt2"
        (self.layers, self.width, self.heads, self.kv_heads, self.vocab, self.batch,
         self.length) = map(int, match.groups()[3:])
        self.head = self.width // self.heads
        self.hidden = 4 * self.width if self.gpt2 else 8 * self.width // 3 // 32 * 32


def rotary(length, dim, theta=1e4):
    angle = torch.outer(torch.arange(length).float(), theta ** (-torch.arange(0, dim, 2).float() / dim))
    return angle.cos(), angle.sin()


def rotate(x, cosine_sine):
    cosine, sine = cosine_sine
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], dim=-1).to(x.dtype)


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        norm = nn.LayerNorm if s.gpt2 else nn.RMSNorm
        self.norm1, self.norm2 = norm(s.width), norm(s.width)
        self.q, self.out = nn.Linear(s.width, s.width, s.gpt2), nn.Linear(s.width, s.width, s.gpt2)
        self.k, self.v = (nn.Linear(s.width, s.kv_heads * s.head, s.gpt2) for _ in range(2))
        self.up, self.down = nn.Linear(s.width, s.hidden, s.gpt2), nn.Linear(s.hidden, s.width, s.gpt2)
        self.gate = None if s.gpt2 else nn.Linear(s.width, s.hidden, False)

    def forward(self, x, cosine_sine):
        b, t, c = x.shape
        h = self.norm1(x)
        q, k, v = (m(h).view(b, t, -1, self.s.head).transpose(1, 2) for m in (self.q, self.k, self.v))
        if cosine_sine is not None:
            q, k = rotate(q, cosine_sine), rotate(k, cosine_sine)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.s.kv_heads != self.s.heads)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        h = self.norm2(x)
        h = F.gelu(self.up(h), approximate="tanh") if self.gate is None else F.silu(self.gate(h)) * self.up(h)
        return x + self.down(h)


class Decoder(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.embed = nn.Embedding(s.vocab, s.width)
        self.position = nn.Embedding(s.length, s.width) if s.gpt2 else None
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.layers))
        self.norm = nn.LayerNorm(s.width) if s.gpt2 else nn.RMSNorm(s.width)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0, 0.02)

    def forward(self, tokens):
        x = self.embed(tokens)
        cosine_sine = None
        if self.position is not None:
            x = x + self.position(torch.arange(tokens.shape[1], device=tokens.device))
        else:
            cosine_sine = [table.to(tokens.device) for table in rotary(tokens.shape[1], self.s.head)]
        for block in self.blocks:
            x = block(x, cosine_sine)
        return F.linear(self.norm(x), self.embed.weight)


class Trainer:
    def __init__(self, name, device):
        self.s = s = Shape(name)
        torch.manual_seed(0)
        self.model = Decoder(s).to(device)
        self.run = torch.compile(self.model) if s.compiled else self.model
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        vectors = [p for p in self.model.parameters() if p.dim() < 2]
        self.optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=0.1),
                                            dict(params=vectors, weight_decay=0)], lr=1e-4, betas=(0.9, 0.95),
                                           fused=True)
        self.tokens = torch.randint(0, s.vocab, (s.batch, s.length + 1), device=device)
        self.step()  # allocates the moments

    def step(self):
        with torch.autocast(self.tokens.device.type, torch.bfloat16, enabled=self.s.bf16):
            logits = self.run(self.tokens[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), self.tokens[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        loss.item()  # as a journal needs it


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    threads, device = arguments.threads, arguments.device
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 and device == "cpu" else time.perf_counter
    known, trainer = None, None
    for line in sys.stdin:
        name, seconds = line.split()
        answer = {"name": name}
        try:
            if name != known:
                trainer = None
                trainer, known = Trainer(name, device), name
            taken = []
            while len(taken) < 2 or sum(taken) < float(seconds):
                start = clock()
                trainer.step()
                taken.append(clock() - start)
            taken.sort()
            answer |= {"seconds": taken[len(taken) // 2], "least_seconds": taken[0], "calls": len(taken)}
        except (ValueError, RuntimeError) as error:
            known, answer["error"] = None, str(error).split("\n", maxsplit=1)[0]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
