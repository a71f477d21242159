"""What was measured, as rows: a CSV file per table, each number in SI units."""
import csv

import cases

ATTENTION = ("table", "name", "seconds", "torch_seconds", "ratio", "ratio_least", "ratio_most", "flops_per_second",
             "torch_flops_per_second", "of_limit", "of_bound", "workspace_bytes")
GRID = ("name", "neighbour", "seconds", "flops_per_second", "neighbour_flops_per_second", "of_neighbour")
TRAINING = ("title", "name", "seconds", "torch_seconds", "ratio", "ratio_least", "ratio_most", "compile_seconds",
            "tokens_per_second", "torch_tokens_per_second", "of_bound")


def attention_row(table, case, sides):
    rate = lambda seconds: case.flops() / seconds if seconds else None
    bound = sides.said.get("bound_seconds")
    least, most = sides.spread()
    return dict(zip(ATTENTION, (table, case.name("cpu"), sides.seconds, sides.their_seconds, sides.ratio(), least, most,
                                rate(sides.seconds), rate(sides.their_seconds),
                                rate(sides.seconds) / sides.said["limit_flops_per_second"],
                                bound / sides.seconds if bound else None, sides.said["workspace_bytes"])))


def grid_row(case, regular, seconds, regular_seconds):
    rates = case.flops() / seconds, regular.flops() / regular_seconds
    return dict(zip(GRID, (case.name("cpu"), regular.name("cpu"), seconds, *rates, rates[0] / rates[1])))


def training_bound(case, limits):
    """Seconds below which no step goes: FLOPs at the better library's rate of products, and the optimizer's bytes."""
    product = max(limits.get(f"limit/matmul_2048/{side}{case.dtype}", 0) for side in ("", "torch/"))
    return case.flops() / product + case.optimizer_bytes() / limits["limit/read"]


def training_row(case, sides, compiled, limits):
    per_second = lambda seconds: case.tokens() / seconds if seconds else None
    least, most = sides.spread()
    return dict(zip(TRAINING, (case.title, case.name(), sides.seconds, sides.their_seconds, sides.ratio(), least,
                               most, compiled, per_second(sides.seconds), per_second(sides.their_seconds),
                               training_bound(case, limits) / sides.seconds)))


def write(file, columns, rows):
    text = lambda value: "" if value is None else f"{value:.6g}" if isinstance(value, float) else value
    with open(file, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([text(row[column]) for column in columns] for row in rows)


def read(file):
    """Rows with numbers as numbers, None where there is nothing."""
    def value(text):
        try:
            return float(text) if text else None
        except ValueError:
            return text
    with open(file, newline="", encoding="utf-8") as lines:
        return [{key: value(text) for key, text in row.items()} for row in csv.DictReader(lines)]


def case_of(row):
    return cases.parse(row["name"])
