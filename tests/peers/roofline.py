"""The roofline of attention, drawn by gnuplot: what a byte of memory traffic and a core's arithmetic allow, and what
both sides reach."""
import subprocess

import rows
import tables

INK = {"f32": "#0067a8", "bf16": "#b84a00"}
POINT = {"forward": (7, 6), "backward": (5, 4)}  # filled: fovea; hollow: PyTorch


def points(measured):
    """(dtype, pass) -> [(FLOPs per byte, fovea's GFLOP/s, PyTorch's or None)] of causal and decoding cells."""
    groups = {}
    for row in measured:
        case = rows.case_of(row)
        if case.mask != "causal" or row["table"] not in ("dense", "decoding"):
            continue
        theirs = row["torch_flops_per_second"]
        groups.setdefault((case.dtype, case.direction), []).append(
            (case.flops() / case.bytes(), row["flops_per_second"] / 1e9, theirs / 1e9 if theirs else None))
    return groups


def script(machine, measured, file):
    limits = {key: value / 1e9 for key, value in machine["limits"].items()}
    roof = {"f32": limits["limit/fma"], "bf16": limits.get("limit/bf16_dot", limits["limit/fma"])}
    data, plots = [], []
    for dtype, ink in INK.items():
        plots.append(f"(x * {limits['limit/read']} < {roof[dtype]} ? x * {limits['limit/read']} : {roof[dtype]}) "
                     f"lw 2 lc '{ink}' title '{dtype}: memory, registers'")
        product = max(limits[f"limit/matmul_2048/{side}{dtype}"] for side in ("", "torch/")
                      if f"limit/matmul_2048/{side}{dtype}" in limits)
        plots.append(f"{product} lw 1 dt 2 lc '{ink}' title '{dtype}: product of 2048^3'")
    for (dtype, direction), group in points(measured).items():
        for side, column, shape in (("fovea", 1, 0), ("PyTorch", 2, 1)):
            known = [(point[0], point[column]) for point in group if point[column]]
            if not known:
                continue
            name = f"$d{len(data)}"
            data.append(f"{name} << EOD\n" + "".join(f"{x:.5g} {y:.5g}\n" for x, y in known) + "EOD\n")
            plots.append(f"{name} with points pt {POINT[direction][shape]} ps 0.7 lc '{INK[dtype]}' "
                         f"title '{side}, {dtype} {direction}'")
    return (f"set terminal svg size 760,460 font 'sans-serif,12' background '#ffffff'\nset output '{file}'\n"
            "set logscale xy\nset xrange [1:4096]\nset yrange [1:1000]\nset grid lc '#e3e4e6'\n"
            "set xlabel 'useful FLOPs per byte of operands and results'\nset ylabel 'useful GFLOP/s'\n"
            "set key bottom right maxrows 6 samplen 2 font ',10'\nset title "
            f"\"Causal attention on {machine['processor']}, {tables.count(machine['threads'], 'thread', 'threads')}\"\n"
            + "".join(data) + "plot " + ", \\\n".join(plots) + "\n")


def draw(machine, measured, file):
    subprocess.run(["gnuplot"], input=script(machine, measured, file), text=True, check=True)
