#!/usr/bin/env python3
"""The comparison without its peers: names, counts, the grid, alternation, tables."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

import cases
import grid
import measure
import programs
import roofline
import rows
import tables

BENCH = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None

# Takes twice as long at each question; its third is refused.
PEER = """
import json, sys
for n, line in enumerate(sys.stdin):
    name, amount = line.split()
    print(json.dumps({"error": "no more"} if n == 2 else {"seconds": 2.0 ** n * float(amount)}), flush=True)
"""


def small(mask, **more):
    return cases.Attention(**{**dict(direction="forward", dtype="f32", batch=1, q_heads=4, kv_heads=2, q_len=64,
                                     kv_len=96, dim=40, mask=mask), **more})


class Cases(unittest.TestCase):
    def test_names_come_back(self):
        for case in cases.dense() + cases.masked() + cases.decoding() + cases.long_window() + [small("documents2")]:
            self.assertEqual(cases.parse(case.name("torch")), case)
        for name in ("", "attention/forward/cpu/f32/b1_hq8/full", small("full").name("cpu") + "y"):
            self.assertRaises(ValueError, cases.parse, name)

    def test_pairs_are_those_of_the_masks_meaning(self):
        for mask in ("full", "causal", "causal_window5", "causal_window500", "documents2", "documents3"):
            case, seen, at_q, at_k = small(mask), 0, 0, 0
            for q_len, kv_len in case.documents():
                for i in range(q_len):
                    position = i + kv_len - q_len
                    seen += sum((not case.causal or j <= position) and (not case.window or position - j < case.window)
                                for j in range(kv_len))
                at_q, at_k = at_q + q_len, at_k + kv_len
            self.assertEqual((case.pairs(), at_q, at_k), (seen, 64, 96), mask)
        self.assertEqual(small("full").flops(), 64 * 96 * 4 * 40 * 4)
        self.assertEqual(small("full", direction="backward").flops(), 64 * 96 * 4 * 40 * 10)

    def test_parameters_of_known_models(self):
        by_title = {case.title: case for case in cases.training()}
        self.assertEqual(by_title["GPT-2 124M, B1 T1024"].parameters(), 124439808)

    def test_the_dense_table_is_that_of_the_comparison(self):
        self.assertEqual(len(cases.dense()), 48)

    @unittest.skipUnless(BENCH and BENCH.exists(), "fovea-bench is not built")
    def test_fovea_bench_knows_the_names_and_counts_alike(self):
        with programs.Answers([BENCH, "--lines"]) as bench:
            for case in (small("causal"), small("causal_window5"), small("documents3"), small("full", dtype="bf16"),
                         small("causal", direction="backward")):
                answer = bench.ask(case.name("cpu"), 0)
                self.assertAlmostEqual(answer["flops_per_second"] * answer["seconds"] / case.flops(), 1, 4)
            self.assertIn("error", bench.ask("attention/none", 0))
            self.assertGreater(bench.ask("limit/fma", 0)["per_second"], 1e8)
            self.assertIn("error", bench.ask("limit/none", 0))


class Grid(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cells = grid.cover()

    def test_is_small_bounded_and_the_same_every_time(self):
        self.assertLessEqual(len(self.cells), 300)
        self.assertEqual(len(self.cells), len(set(self.cells)))
        self.assertLessEqual(max(case.flops() for case in self.cells), grid.MOST_FLOPS)
        self.assertEqual(grid.cover(), self.cells)

    def test_has_each_pair_that_a_cell_can_have(self):
        facts = lambda c: {("length", c.q_len), ("dim", c.dim), ("mask", c.mask), ("dtype", c.dtype),
                           ("direction", c.direction), ("heads", (c.batch, c.q_heads))}
        met = {frozenset((a, b)) for case in self.cells for a in facts(case) for b in facts(case)}
        for length in grid.LENGTHS[:-1]:
            for dim in grid.DIMS:
                self.assertIn(frozenset((("length", length), ("dim", dim))), met)
        for heads in grid.HEADS:
            for dtype in cases.DTYPES:
                self.assertIn(frozenset((("heads", heads), ("dtype", dtype))), met)
        self.assertNotIn(frozenset((("heads", (2, 4)), ("mask", "documents8"))), met)  # packed in one batch row
        self.assertEqual({case.q_heads // case.kv_heads for case in self.cells}, {1, 4, 8, 64})

    def test_neighbours_are_regular(self):
        near = grid.neighbour(small("causal", dim=111, q_len=777, kv_len=777, q_heads=1, kv_heads=1), 2)
        self.assertEqual((near.dim, near.q_len, near.kv_len, near.q_heads, near.kv_heads), (128, 1024, 1024, 2, 2))
        for case in self.cells:
            near = grid.neighbour(case, 1)
            self.assertEqual(grid.neighbour(near, 1), near)
            self.assertEqual((near.batch, near.q_heads, near.mask), (case.batch, case.q_heads, case.mask))


class Turns(unittest.TestCase):
    def test_sides_take_turns_and_ratios_are_of_rounds(self):
        asked = []
        def side(name, seconds):
            def ask():
                asked.append(name)
                return {"seconds": seconds.pop(0)}
            return ask
        sides = measure.in_turns(side("a", [1, 2, 4]), side("b", [3, 4, 4]), 3)
        self.assertEqual("".join(asked), "abbaab")
        self.assertEqual((sides.ratio(), sides.spread(), sides.seconds, sides.their_seconds), (2, (1, 3), 2, 4))
        self.assertAlmostEqual(measure.geometric_mean([2, 8]), 4)

    def test_a_peer_that_cannot_is_asked_no_more(self):
        sides = measure.in_turns(lambda: {"seconds": 1}, lambda: {"error": "too large"}, 3)
        self.assertEqual((len(sides.ours), sides.ratio(), sides.why_not), (3, None, "too large"))
        self.assertRaises(SystemExit, measure.in_turns, lambda: {"error": "no"}, None, 1)

    def test_a_program_answers_line_by_line(self):
        with programs.Answers([sys.executable, "-c", PEER]) as peer:
            self.assertEqual([peer.ask("x", 3)["seconds"], peer.ask("x", 3)["seconds"]], [3, 6])
            self.assertEqual(peer.ask("x", 1), {"error": "no more"})
        with programs.Answers([sys.executable, "-c", ""]) as gone:
            self.assertRaises(SystemExit, gone.ask, "x", 1)


    def test_steps_are_read_off_the_training_benchmark(self):
        case = cases.training()[-1]
        with tempfile.TemporaryDirectory() as build:
            program = pathlib.Path(build) / "experiments/bench/fovea-bench-train"
            program.parent.mkdir(parents=True)
            program.write_text(f"""#!{sys.executable}
import json, re, sys
pattern, = (word.split("=", 1)[1] for word in sys.argv if word.startswith("--benchmark_filter="))
names = ["{case.name()}/real_time", "{case.name()}0"]
row = {{"tokens/s": 2048.0, "iterations": 7}}
print(json.dumps({{"benchmarks": [row for name in names if re.search(pattern, name)]}}))
""", encoding="utf-8")
            program.chmod(0o755)
            self.assertEqual(programs.FoveaTraining(build, 2).ask(case, 1), {"seconds": 2, "calls": 7})


class Tables(unittest.TestCase):
    def row(self, case, ours, theirs, table="dense"):
        said = {"limit_flops_per_second": 1e9, "workspace_bytes": 64, "bound_seconds": 0.5}
        return rows.attention_row(table, case, measure.Sides(ours, theirs, said))

    def test_rows_come_back_from_their_file(self):
        measured = [self.row(small("causal"), [1.0, 2.0, 3.0], [4.0, 4.0, 3.0]), self.row(small("full"), [1.0], [])]
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "attention.csv"
            rows.write(file, rows.ATTENTION, measured)
            back = rows.read(file)
        self.assertEqual((back[0]["ratio"], back[0]["ratio_least"], back[0]["ratio_most"]), (2, 1, 4))
        self.assertEqual((back[0]["of_bound"], back[1]["ratio"]), (0.25, None))
        self.assertIn("| 2.00x | 1.00 to 4.00 |", tables.attention(back))
        self.assertEqual(tables.means(back).splitlines()[-1], "| f32 forward | 2.00x | 2.00x | 1 |")

    def test_shapes_are_lines_and_kinds_columns(self):
        measured = [self.row(small("causal", dtype=dtype, direction=direction), [1.0], [2.0])
                    for dtype in cases.DTYPES for direction in cases.PASSES] + [self.row(small("full"), [1.0], [])]
        lines = tables.by_shape(measured).splitlines()
        self.assertEqual([line.count("|") for line in lines], [6] * 4)
        self.assertEqual((lines[2].count("2.00x"), lines[3].count("| - ")), (4, 3))

    def test_cliffs_are_flagged(self):
        fast, slow = small("full", dim=64), small("full", dim=59)
        measured = [rows.grid_row(slow, fast, 1.0, 0.4), rows.grid_row(fast, fast, 1.0, 1.0)]
        text = tables.grid(measured)
        self.assertTrue(text.startswith("2 cells, 1 below half"))
        self.assertIn("0.37 (cliff)", text)

    def test_a_window_is_held_against_its_share(self):
        whole, window = (small(mask, q_len=96) for mask in ("causal", "causal_window5"))
        share = window.pairs() / whole.pairs()
        measured = [self.row(whole, [1.0], []), self.row(window, [2 * share], [])]
        self.assertIn("| 2.00x |", tables.long_window(measured))

    def test_a_page_is_filled_between_its_marks(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            fast = small("full")
            rows.write(folder / "grid.csv", rows.GRID, [rows.grid_row(fast, fast, 1.0, 1.0)])
            page = "before\n<!-- grid -->\nold | table\n<!-- end -->\nafter\n"
            once = tables.filled(page, folder)
            self.assertTrue(once.startswith("before\n<!-- grid -->\n1 cells, 0 below"))
            self.assertTrue(once.endswith("\n<!-- end -->\nafter\n"))
            self.assertNotIn("old", once)
            self.assertEqual(tables.filled(once, folder), once)

    def test_the_roofline_has_both_sides_and_the_limits(self):
        machine = {"processor": "P", "threads": 2,
                   "limits": {"limit/fma": 2e11, "limit/matmul_2048/f32": 1e11, "limit/matmul_2048/bf16": 3e11,
                              "limit/bf16_dot": 4e11, "limit/read": 1e10}}
        text = roofline.script(machine, [self.row(small("causal"), [1.0], [2.0]), self.row(small("full"), [1.0], [2.0]),
                                         self.row(small("causal", dtype="bf16"), [1.0], [])], "f.svg")
        self.assertEqual((text.count("title 'fovea, "), text.count("title 'PyTorch, ")), (2, 1))
        self.assertIn("x * 10.0 < 400.0 ? x * 10.0 : 400.0", text)

    def test_training_bound_adds_products_and_the_optimizer(self):
        case = cases.training()[0]
        limits = {"limit/matmul_2048/f32": 1.0, "limit/matmul_2048/torch/f32": 2.0, "limit/read": 4.0}
        self.assertAlmostEqual(rows.training_bound(case, limits), case.flops() / 2 + case.parameters() * 28 / 4)


class CommandLine(unittest.TestCase):
    def test_unknown_words_are_refused(self):
        result = subprocess.run([sys.executable, programs.HERE / "compare", "attention/sideways"], capture_output=True,
                                text=True, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("attention/sideways", result.stderr)

    def test_the_scripts_of_torch_are_python(self):
        for name in ("attention_torch.py", "train_torch.py"):
            compile((programs.HERE / name).read_text(encoding="utf-8"), name, "exec")


if __name__ == "__main__":
    unittest.main()
