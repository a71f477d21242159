"""The measured rows as Markdown."""
import json
import re

import rows
from measure import geometric_mean

WHAT = {"limit/fma": "multiply-adds in registers, f32", "limit/bf16_dot": "dot products in registers, bf16",
        "limit/matmul_2048/f32": "2048^3 product, f32: fovea", "limit/matmul_2048/bf16": "2048^3 product, bf16: fovea",
        "limit/matmul_2048/torch/f32": "2048^3 product, f32: PyTorch",
        "limit/matmul_2048/torch/bf16": "2048^3 product, bf16: PyTorch", "limit/read": "plain read of memory"}
CLIFF = 0.5  # of the regular neighbour's rate


def table(head, lines, right=1):
    """The first `right` columns to the left, numbers to the right."""
    rule = ["---"] * right + ["---:"] * (len(head) - right)
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in (head, rule, *lines)) + "\n"


def giga(value):
    return "-" if value is None else f"{value / 1e9:.0f}" if value >= 2e10 else f"{value / 1e9:.1f}"


def times(value):
    return "-" if value is None else f"{value:.2f}x"


def percent(value):
    return "-" if value is None else f"{100 * value:.0f} %"


def spread(row):
    return "-" if row["ratio"] is None else f"{row['ratio_least']:.2f} to {row['ratio_most']:.2f}"


def machine(m):
    about = (f"{m['processor']}, {m['cores']} cores, {count(m['threads'], 'thread', 'threads')}, {m['date']}, "
             f"load {m['load']:.1f} at the start; fovea {m['fovea']}; torch {m['torch'] or 'absent'}; medians of {m['rounds']} rounds.\n\n")
    unit = lambda name: "GB/s" if name == "limit/read" else "GFLOP/s"
    return about + table(("limit", "", ""),
                         [(WHAT[name], giga(value), unit(name)) for name, value in m["limits"].items()])


def count(n, one, more):
    return f"{n} {one if n == 1 else more}"


def shape_text(case):
    lengths = f"S{case.q_len}"
    if case.q_len != case.kv_len:
        lengths = f"{count(case.q_len, 'query', 'queries')}, {case.kv_len} keys"
    heads = f"{case.q_heads}" if case.q_heads == case.kv_heads else f"{case.q_heads}:{case.kv_heads}"
    return f"{'' if case.batch == 1 else f'B{case.batch} '}{lengths} H{heads} D{case.dim}"


def attention(measured):
    lines = []
    for row in measured:
        case = rows.case_of(row)
        lines.append((f"{shape_text(case)} {case.mask}", f"{case.dtype} {case.direction}",
                      giga(row["flops_per_second"]), giga(row["torch_flops_per_second"]), times(row["ratio"]),
                      spread(row), percent(row["of_limit"])))
    return table(("case", "what", "GFLOP/s", "PyTorch", "ratio", "rounds", "of the limit"), lines, right=2)


def by_shape(measured):
    """A line per shape and mask; a cell: GFLOP/s, ratio to PyTorch, part of the limit."""
    kinds = list(dict.fromkeys((case.dtype, case.direction) for case in map(rows.case_of, measured)))
    lines = {}
    for row in measured:
        case = rows.case_of(row)
        cell = f"{giga(row['flops_per_second'])}, {times(row['ratio'])}, {percent(row['of_limit'])}"
        lines.setdefault(f"{shape_text(case)} {case.mask}", {})[case.dtype, case.direction] = cell
    return table(("GFLOP/s, ratio, of the limit", *map(" ".join, kinds)),
                 [(shape, *(cells.get(kind, "-") for kind in kinds)) for shape, cells in lines.items()])


def means(measured):
    """Geometric mean and least ratio of each dtype and pass."""
    groups = {}
    for row in measured:
        if row["ratio"] is not None:
            case = rows.case_of(row)
            groups.setdefault(f"{case.dtype} {case.direction}", []).append(row["ratio"])
    return table(("dense cells", "geometric mean", "least", "cells"),
                 [(key, times(geometric_mean(r)), times(min(r)), len(r)) for key, r in groups.items()])


def decoding(measured):
    lines = [(shape_text(case := rows.case_of(row)), case.dtype, f"{1e6 * row['seconds']:.0f}",
              times(row["ratio"]), percent(row["of_bound"])) for row in measured]
    return table(("decoding", "dtype", "microseconds", "ratio to PyTorch", "of the bound"), lines, right=2)


def long_window(measured):
    """What a window takes beside its share of the pairs."""
    by_case = {rows.case_of(row): row["seconds"] for row in measured}
    lines = []
    for case, seconds in by_case.items():
        if case.window:
            whole = next(c for c in by_case if (c.dtype, c.direction) == (case.dtype, case.direction) and not c.window)
            share = case.pairs() / whole.pairs()
            lines.append((f"{case.dtype} {case.direction}", percent(share) if share >= 0.1 else f"{100 * share:.2f} %",
                          f"{100 * seconds / by_case[whole]:.2f} %", times(seconds / by_case[whole] / share)))
    return table(("window of 512 at S 32768", "share of the pairs", "share of the time", "time over share"), lines)


def all_attention(measured):
    of = lambda name: [row for row in measured if row["table"] == name]
    return "\n".join((means(of("dense")), by_shape(of("dense")), by_shape(of("masked")), decoding(of("decoding")),
                      long_window(of("long window"))))


def grid(measured):
    """The cells below half of their neighbour's rate, or the five that are nearest to it."""
    ordered = sorted(measured, key=lambda row: row["of_neighbour"])
    flagged = [row for row in ordered if row["of_neighbour"] < CLIFF]
    lines = [(f"`{row['name']}`", giga(row["flops_per_second"]), giga(row["neighbour_flops_per_second"]),
              f"{row['of_neighbour']:.2f}{' (cliff)' if row in flagged else ''}") for row in flagged or ordered[:5]]
    return (f"{len(measured)} cells, {len(flagged)} below half the rate of their regular neighbour.\n\n"
            + table(("cell", "GFLOP/s", "neighbour", "part"), lines))


def training(measured):
    lines = [(row["title"], row["name"].split("/")[1], f"{row['tokens_per_second']:,.0f}",
              "-" if row["torch_tokens_per_second"] is None else f"{row['torch_tokens_per_second']:,.0f}",
              times(row["ratio"]), spread(row),
              "-" if row["compile_seconds"] is None else times(row["compile_seconds"] / row["seconds"]),
              percent(row["of_bound"])) for row in measured]
    return table(("training step", "dtype", "tokens/s", "PyTorch", "ratio", "rounds", "to torch.compile",
                  "of the bound"), lines, right=2)


FILES = {"machine": lambda folder: machine(json.loads((folder / "machine.json").read_text(encoding="utf-8"))),
          "attention": lambda folder: all_attention(rows.read(folder / "attention.csv")),
          "grid": lambda folder: grid(rows.read(folder / "grid.csv")),
          "training": lambda folder: training(rows.read(folder / "training.csv"))}


def filled(page, folder):
    """The page with what stands between <!-- NAME --> and <!-- end --> replaced by the table of the folder's file."""
    def fill(match):
        return f"<!-- {match[1]} -->\n{FILES[match[1]](folder).strip()}\n<!-- end -->"
    return re.sub(r"<!-- (\w+) -->\n(?:(?!<!-- end -->).)*<!-- end -->", fill, page, flags=re.DOTALL)
