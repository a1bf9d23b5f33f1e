"""The runner of bench/evaluation: rows and their options, cells that are kept, the order of worth, tables, the test of order."""
import sys
import tempfile
import types
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench/evaluation"))
from tasks import TASKS  # noqa: E402, I001 (makes `lib` known)
from harness import cells, order, plan, rows, texts  # noqa: E402
from lib import prompt  # noqa: E402
from lib.engine import Engine, reform_cli  # noqa: E402
from lib.test_text import TestText  # noqa: E402

try:
    from harness import outcomes, report
except ImportError:  # NumPy is missing
    report = None


def binary(folder, options):
    """A command that knows the version and the help of ingest, ask and generate with these options only."""
    path = Path(folder) / "reform"
    path.write_text(f"""#!/bin/sh
case "$1 $2" in
*--version*) echo '{{"version": "9"}}';;
*--help*) echo "Usage: reform $1 [OPTIONS]"; echo "{' '.join(options)}";;
esac
""")
    path.chmod(0o755)
    return path


class FakeEngine:
    """Answers the answer, or asks for more window than there is."""
    version = {"version": "9"}

    def __init__(self, text_limit=10 ** 9):
        self.ingested, self.replied, self.text_limit = [], 0, text_limit

    def ingest(self, path, text, options, store_options):
        first = (path, options) not in self.ingested
        self.ingested.append((path, options))
        return f"c{len(text)}", {"outcome": "ingested" if first else "unchanged", "tokens_run": len(text) if first else 0,
                                 "timings": {"total_ms": 100.0 if first else 0.0}, "memory_bytes": {"peak_host": 5 << 20}}

    def ask(self, name, question, options):
        self.replied += 1
        return {"answer": "red", "sources": [{"begin_byte": 0, "end_byte": 10}], "recomputed_tokens": 40, "timings": {"total_ms": 7.0},
                "memory_bytes": {"peak_host": 3 << 20}}

    def generate(self, text, options):
        self.replied += 1
        if len(text) > self.text_limit:
            raise reform_cli.CommandFailed("x: 9 prompt tokens and 1 new ones pass the model's window of 8")
        return {"text": "blue", "timings": {"prompt_n": len(text) // 4, "total_ms": 9.0}, "memory_bytes": {"peak_host": 2 << 20}}


class FakeTexts:
    """Two texts of two questions; the first question's evidence is the first ten bytes, the second's the last ten."""

    def __init__(self):
        self.tests = []
        for i in range(2):
            text = f"text {i} ".encode() + b"filler " * 30 + b"0123456789"
            questions = [{"id": f"q{i}-{j}", "set": "passkey", "question": f"Which {i} {j}?", "answers": [answer], "evidence": [at]}
                         for j, (answer, at) in enumerate((("red", [0, 6]), ("blue", [len(text) - 10, len(text)])))]
            self.tests.append(TestText("passkey", text, questions, {"some package": "1"}))

    def kept(self, cell, index):
        return self.tests[index]

    def get(self, cell, index):
        return self.tests[index], Path(f"text{index}.txt")

    def tokens_of(self, text):
        return len(text) // 4


class Rows(unittest.TestCase):
    def test_an_option_that_the_binary_does_not_know_is_refused_by_name(self):
        with tempfile.TemporaryDirectory() as folder:
            known = ("--gather-tokens", "--temp", "--chat", "-f,--file", "--depth")
            engine = Engine(binary(folder, known), Path("m"), Path("s"), None)
            def lacks(row):
                return engine.lacks(row.name, row.uses(256, 8))
            self.assertIsNone(lacks(rows.ROWS["reform"]))
            self.assertIsNone(lacks(rows.ROWS["full"]))
            self.assertIsNone(lacks(rows.ROWS["fast"]))
            self.assertIn("row later needs `reform ask --method`", lacks(rows.Row("later", ask=("--method", "window"), budgeted=False)))
            self.assertIn("row other needs `reform ingest --pages`", lacks(rows.Row("other", ingest=("--pages",))))

    def test_a_budget_is_an_option_of_ask_only_where_a_row_has_one(self):
        self.assertEqual(rows.ROWS["reform"].options(512, 8), ("--gather-tokens", "512", "--temp", "0", "-n", "8"))
        self.assertEqual(rows.Row("x", ask=("--a",), budgeted=False).options(0, 8), ("--a", "--temp", "0", "-n", "8"))
        self.assertEqual(rows.ROWS["bm25"].options(512, 8), ("--temp", "0", "-n", "8"))
        for name, row in rows.ROWS.items():
            self.assertEqual(row.name, name)
            self.assertIn(row.sees, ("ask", *rows.CHOSEN))

    def test_passages_stand_in_source_order_and_touching_ones_are_one(self):
        text = b"abcdefghij"
        self.assertEqual(prompt.of_ranges(text, [[6, 8], [2, 4], [4, 5]], "Q?"), f"{prompt.SKIPPED}cde{prompt.SKIPPED}gh\n\nQ?")
        self.assertEqual(prompt.of_ranges(text, [[0, 10]], "Q?"), "abcdefghij\n\nQ?")
        self.assertEqual(prompt.of_ranges(text, [], "Q?"), "Q?")


class KeptCells(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.texts = FakeTexts()

    def cells(self, engine, n_questions=4):
        return cells.Cells(Path(self.folder.name) / "cells", self.texts, engine, None, "model", n_questions, ())

    def cell(self, row="reform", budget=256):
        return cells.Cell("passkey", 1000, 1, row, budget, 2)

    def test_a_reply_is_not_made_twice_and_a_stopped_cell_goes_on(self):
        engine = FakeEngine()
        self.cells(engine, 2).fill(self.cell())
        self.assertEqual((engine.replied, len(engine.ingested)), (2, 1))
        self.assertEqual(self.cells(engine).missing(self.cell()), 2)
        self.cells(engine).fill(self.cell())
        self.assertEqual((engine.replied, len(engine.ingested)), (4, 2))
        self.cells(engine).fill(self.cell())
        self.assertEqual((engine.replied, len(engine.ingested), self.cells(engine).missing(self.cell())), (4, 2, 0))

    def test_what_determines_a_cell_gives_it_a_file_of_its_own(self):
        made, other = self.cells(FakeEngine()), FakeEngine()
        other.version = {"version": "10"}
        paths = {made.path(self.cell()), made.path(self.cell(budget=512)), made.path(self.cell("fast")), made.path(self.cell("bm25")),
                 made.path(cells.Cell("passkey", 1000, 2, "reform", 256, 2)), made.path(cells.Cell("passkey", 1000, 1, "reform", 256, 1)),
                 self.cells(other).path(self.cell())}
        self.assertEqual(len(paths), 7)

    def test_a_changed_question_or_text_is_asked_again(self):
        engine = FakeEngine()
        self.cells(engine).fill(self.cell())
        self.texts.tests[0].questions[0]["question"] = "Another?"
        self.texts.tests[1] = TestText("passkey", self.texts.tests[1].text + b"!", self.texts.tests[1].questions)
        self.assertEqual(self.cells(engine).missing(self.cell()), 3)

    def test_a_damaged_cell_is_named(self):
        made = self.cells(FakeEngine())
        made.path(self.cell()).write_text("{")
        with self.assertRaisesRegex(ValueError, "passkey_1000.* is damaged"):
            made.read(self.cell())

    def test_a_reading_keeps_its_time_for_other_cells(self):
        engine = FakeEngine()
        for budget in (256, 512):
            self.cells(engine).fill(self.cell(budget=budget))
            reading = self.cells(engine).read(self.cell(budget=budget))["reading"]
            self.assertEqual([r["ms"] for r in reading.values()], [100.0, 100.0])

    def test_a_prompt_past_the_window_is_kept_as_refused_and_other_failures_are_not(self):
        engine = FakeEngine(text_limit=20)
        self.cells(engine).fill(self.cell("full", 0))
        self.assertIn("refused", self.cells(engine).read(self.cell("full", 0)))
        self.assertEqual(self.cells(engine).missing(self.cell("full", 0)), 0)
        engine.ask = lambda *_: (_ for _ in ()).throw(reform_cli.CommandFailed("disk full"))
        with self.assertRaisesRegex(reform_cli.CommandFailed, "disk full"):
            self.cells(engine).fill(self.cell())

    @unittest.skipIf(report is None, "NumPy is missing")
    def test_scores_are_split_by_what_was_visible(self):
        made = self.cells(FakeEngine())
        every = [self.cell(), self.cell("full", 0)]
        for cell in every:
            made.fill(cell)
        found = outcomes.Outcomes(made, every)
        of = found.of[self.cell()]
        self.assertEqual([(o.score, o.visible) for o in of.values()], [(1, True), (0, False)] * 2)
        self.assertEqual([(o.score, o.visible) for o in found.of[self.cell("full", 0)].values()], [(0, True), (1, True)] * 2)
        self.assertEqual([round(o.depth, 2) for o in of.values()], [0, 0.96] * 2)
        tables = report.Tables(found, every, "full")
        line = tables.line(tables.group(["passkey"], 1000, "reform", 256), 1000, 256)
        self.assertTrue(line.startswith("| reform | **50.0** | +0.0 ("), line)
        self.assertTrue(line.endswith("| 50.0 | 100.0 | 0.0 |  | 40 | 7 | 5 | 100 |"), line)

    @unittest.skipIf(report is None, "NumPy is missing")
    def test_retention_is_a_share_of_the_full_score_at_the_base_length(self):
        made = self.cells(FakeEngine())
        base = cells.Cell("passkey", plan.BASE_TOKENS, 1, "full", 0, 2)
        far = cells.Cell("passkey", 65536, 1, "reform", 256, 2)
        for cell in (base, far):
            made.fill(cell)
        tables = report.Tables(outcomes.Outcomes(made, [base, far]), [base, far], "bm25")
        self.assertEqual(tables.retention([far]), 1.0)  # half right at both lengths
        self.assertIsNone(report.Tables(outcomes.Outcomes(made, [far]), [far], "bm25").retention([far]))


class KeptTexts(unittest.TestCase):
    def test_a_text_is_made_once_and_again_when_the_code_has_changed(self):
        cell, counted = cells.Cell("passkey", 1000, 1, "reform", 256, 1), []
        with tempfile.TemporaryDirectory() as folder:
            def opened():
                sources = types.SimpleNamespace(versions={})
                return texts.Texts(Path(folder), sources, "model-0.5b", lambda path: counted.append(path) or path.stat().st_size // 4)
            self.assertIsNone(opened().kept(cell, 0))
            test, path = opened().get(cell, 0)
            n_counted = len(counted)
            self.assertEqual((path.read_bytes(), opened().kept(cell, 0).questions), (test.text, test.questions))
            self.assertIsNone(opened().kept(cell, 1))
            changed = opened()
            changed.made_by = "other code"
            self.assertIsNone(changed.kept(cell, 0))
            self.assertEqual(changed.get(cell, 0)[0].text, test.text)
            self.assertEqual(len(counted), n_counted)


class Plan(unittest.TestCase):
    def arguments(self, **given):
        return types.SimpleNamespace(**{"tasks": ["passkey", "nolima"], "tokens": [4096, 16384, 65536], "rows": ["reform", "full", "bm25"],
                                        "budgets": [256, 1024], "seed": 1, "per_text": None, **given})

    def test_cells_past_the_window_are_left_out(self):
        every = plan.all_cells(self.arguments(), 32768)
        self.assertEqual(len(every), 2 * (3 * 2 * 2 + 2))
        self.assertNotIn(("full", 65536), {(c.row, c.tokens) for c in every})
        self.assertEqual(len(plan.all_cells(self.arguments())), 2 * (3 * 2 * 2 + 3))

    def test_a_task_with_a_text_per_question_keeps_it(self):
        per_text = {(c.task, c.per_text) for c in plan.all_cells(self.arguments(per_text=3))}
        self.assertEqual(per_text, {("passkey", 1), ("nolima", 3)})
        self.assertEqual({TASKS[t].per_text for t in ("common_words", "frequent_words", "variable_tracking", "babilong_qa3")}, {1})

    def test_the_base_of_retention_comes_first_and_a_comparison_stays_together(self):
        every = plan.all_cells(self.arguments(), 32768)
        groups = plan.in_order_of_worth(every, {c: 8 for c in every}, plan.Speed(491 << 20), 8)
        order_of = [c for group in groups for c, _ in group]
        self.assertEqual(sorted(map(str, order_of)), sorted(map(str, every)))
        for task in ("passkey", "nolima"):
            first = next(c for c in order_of if c.task == task)
            self.assertEqual((first.row, first.tokens), ("full", 4096))
        for group in groups:
            self.assertEqual(len({(c.task, c.tokens) for c, _ in group}), 1)
        for task in ("passkey", "nolima"):
            rates = [sum(plan.worth(c) for c, _ in g) / sum(s for _, s in g) for g in groups
                     if g[0][0].task == task and (g[0][0].row, g[0][0].tokens) != ("full", 4096)]
            self.assertEqual(rates, sorted(rates, reverse=True))

    def test_families_take_turns(self):
        order_of = plan.in_turn({("nolima", 4096, False): 9, ("nolima", 16384, False): 8, ("nolima", 65536, False): 7,
                                 ("passkey", 4096, False): 3.5, ("passkey", 4096, True): 1})
        self.assertEqual(order_of, [("nolima", 4096, False), ("nolima", 16384, False), ("passkey", 4096, True), ("passkey", 4096, False),
                                    ("nolima", 65536, False)])

    def test_a_text_is_read_once_for_all_budgets_and_not_again_when_it_is_read(self):
        every = [c for c in plan.all_cells(self.arguments(tokens=[65536], tasks=["passkey"], rows=["reform"]))]
        speed, missing = plan.Speed(491 << 20), {c: 8 for c in every}
        first, second = plan.seconds_of(every, missing, speed, 8, lambda c: False).values()
        again, _ = plan.seconds_of(every, missing, speed, 8, lambda c: True).values()
        self.assertGreater(first - again, 8 * 65536 * (491 << 20) / plan.READ_PER_S)
        self.assertGreater(first, second)

    def test_what_was_measured_replaces_the_guess(self):
        speed = plan.Speed(491 << 20)
        guessed = speed.reading_s(10_000)
        kept = {"cell": {"task": "passkey"}, "reading": {"t": {"tokens": 10_000, "ms": 1000 * (3 * guessed - plan.PROCESS_S)}}, "replies": {}}
        plan.measured(speed, [kept, kept])
        self.assertAlmostEqual(speed.read_share, 3)


class Order(unittest.TestCase):
    class Engine:
        """Its answers depend on how many questions came before in the same call, from the call `bad` on."""

        def __init__(self, bad=None):
            self.bad, self.asked = bad, 0

        def said(self, question, before):
            return {"answer": question, "confidence": before if self.bad == "search" else 0, "sources": [], "gathered_tokens": 1,
                    "timings": {"total_ms": before}}

        def search(self, name, questions, options):
            return [self.said(q, i) for i, q in enumerate(questions)]

        def ask(self, name, question, options):
            self.asked += self.bad == "ask"
            return {**self.said(question, 0), "gathered_tokens": self.asked}

    def test_times_may_differ_and_nothing_else(self):
        questions = ["a", "b", "c"]
        self.assertEqual(order.differences(self.Engine(), "c", questions, 256, 8), [])
        ways = {way for way, _ in order.differences(self.Engine("search"), "c", questions, 256, 8)}
        self.assertEqual(ways, {"search, other order", "search, alone"})
        ways = {way for way, _ in order.differences(self.Engine("ask"), "c", questions, 256, 8)}
        self.assertEqual(ways, {"ask, other order and a restart"})
        self.assertIn("the same bytes", order.report("t", questions, []))
        self.assertIn('3 differ: [["w", "a"]', order.report("t", questions, [("w", q) for q in questions]))


if __name__ == "__main__":
    unittest.main()
