#!/usr/bin/env python3
"""Times PyTorch's scaled_dot_product_attention on named cases (needs PyPI's torch).

Each line of standard input is the name of a case and for how many seconds to time it, as fovea-bench --lines reads
them; the answer is a line of JSON. On one thread seconds are the process's own, on several real. Windows and packed
documents are given as what PyTorch has for them, a mask of every pair. limit/matmul_2048/DTYPE is a product of two
matrices of that size.

With --device cuda seconds are the device's, of calls that follow each other without a gap, and the name's third word
says whose kernels PyTorch is to use: flash (FlashAttention-2), cudnn, efficient, or torch (its own choice).
"""
import argparse
import contextlib
import json
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, bias, sdpa_kernel

import cases

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
SDPA = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION}
MOST_MASKED_PAIRS = 2**28  # a mask of more takes gigabytes


def mask_of(case, device):
    """What says which keys a query sees: a flag for attention, or every pair."""
    if case.mask == "full":
        return {}
    if case.mask == "causal" and case.q_len == case.kv_len:
        return {"is_causal": True}
    if case.mask == "causal" and case.q_len == 1:
        return {}
    if case.mask == "causal" and device == "cuda":
        return {"attn_mask": bias.causal_lower_right(case.q_len, case.kv_len)}
    if case.q_len * case.kv_len > MOST_MASKED_PAIRS:
        raise ValueError("the mask takes too much memory")
    blocks = []
    for q_len, kv_len in case.documents():
        rows = torch.arange(q_len)[:, None] + kv_len - q_len
        columns = torch.arange(kv_len)[None, :]
        blocks.append((columns <= rows) & (rows - columns < (case.window or kv_len)))
    return {"attn_mask": torch.block_diag(*blocks).bool().to(device)}


def attention_work(case, device, kernels):
    """A function that does once what is timed."""
    q, k, v = (torch.randn(case.batch, heads, length, case.dim, dtype=DTYPES[case.dtype], device=device,
                           requires_grad=True)
               for heads, length in ((case.q_heads, case.q_len), (case.kv_heads, case.kv_len),
                                     (case.kv_heads, case.kv_len)))
    options = dict(mask_of(case, device), enable_gqa=case.q_heads != case.kv_heads)

    def attend():
        with sdpa_kernel(kernels) if kernels is not None else contextlib.nullcontext():
            return F.scaled_dot_product_attention(q, k, v, **options)
    if case.direction == "forward":
        def forward():
            with torch.no_grad():
                attend()
        return forward
    out = attend()
    grad = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, (q, k, v), grad, retain_graph=True)


def product_work(dtype, device):
    a, b = (torch.randn(2048, 2048, dtype=DTYPES[dtype], device=device) for _ in range(2))
    return lambda: torch.mm(a, b)


def work_of(name, device):
    if name.startswith("limit/matmul_2048/"):
        return product_work(name.rsplit("/", 1)[1], device)
    return attention_work(cases.parse(name), device, SDPA.get(name.split("/")[2]))


def times(work, seconds, clock):
    """Of at least three calls, or a second of fewer, in ascending order."""
    taken = []
    while sum(taken) < seconds or (len(taken) < 3 and sum(taken) < 1):
        start = clock()
        work()
        taken.append(clock() - start)
    return sorted(taken)


def device_times(work, seconds):
    """The same by the device's clock: of calls in batches of about a millisecond."""
    def batch(calls):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e-3 / calls
    calls = int(min(max(1e-3 / batch(1), 1), 100))
    taken = []
    while len(taken) < 3 or sum(taken) * calls < seconds:
        taken.append(batch(calls))
    return sorted(taken)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    threads, device = arguments.threads, arguments.device
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    known, work = None, None  # the operands of the last case are kept
    for line in sys.stdin:
        name, seconds = line.split()
        answer = {"name": name}
        try:
            if name != known:
                work = None
                work = work_of(name, device)
                known = name
                work()
            taken = times(work, float(seconds), clock) if device == "cpu" else device_times(work, float(seconds))
            answer |= {"seconds": taken[len(taken) // 2], "least_seconds": taken[0], "calls": len(taken)}
        except (ValueError, RuntimeError, KeyError) as error:
            known, answer["error"] = None, str(error).split("\n", maxsplit=1)[0]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
