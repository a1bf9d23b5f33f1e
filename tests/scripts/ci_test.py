"""What `./dev ci` makes of its stages, with commands that stand in for them."""
import contextlib
import io
import re
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import ci  # noqa: E402
import fetch_model  # noqa: E402


def case(name, status="run", inside=""):
    return f'<testcase name="{name}" status="{status}">{inside}</testcase>'


def skipped(name, said):
    return case(name, "notrun", f'<skipped message="SKIP_RETURN_CODE=77"/><system-out>{said}\n</system-out>')


class CiTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.logs = Path(directory.name)
        patch = mock.patch.object(ci, "LOGS", self.logs)
        patch.start()
        self.addCleanup(patch.stop)

    def run_stages(self, *stages, total_s=100):
        """(number that failed, lines printed)"""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            ci.run_all(stages, time.monotonic() + total_s)
            n_failed = ci.print_table(stages, 1.0)
        return n_failed, out.getvalue().splitlines()

    def cases_stage(self, *cases, status=0):
        (self.logs / "cases").write_text(f"<testsuite>{''.join(cases)}</testsuite>")
        script = f"cp {self.logs}/cases {self.logs}/test.xml; exit {status}"
        return ci.Stage("test", ("sh", "-c", script), 60, junit="test.xml")

    def test_the_last_line_counts_cases_and_stages(self):
        failed, lines = self.run_stages(self.cases_stage(case("a"), case("b"), case("c", "fail", "<failure/>"), status=8),
                                        ci.Stage("format", ("true",), 60))
        self.assertEqual((failed, lines[-1]), (1, "3 passed, 1 failed"))

    def test_a_model_that_ci_fetches_may_not_be_missing(self):
        for name in ci.FETCHED:
            said = f"SKIPPED: models/{name}.gguf is not there; `./dev model {name}` fetches it"
            failed, lines = self.run_stages(self.cases_stage(case("a"), skipped("logits", f"Filters: x\n{said}")))
            self.assertEqual((failed, lines[-1]), (1, "1 passed, 1 failed"))
            self.assertTrue(any("failed: logits (skipped: models/" in line for line in lines), lines)

    def test_what_may_be_skipped_is_shown_and_is_neither_passed_nor_failed(self):
        self.assertEqual(set(ci.FETCHED) | set(ci.NOT_FETCHED), set(fetch_model.MODELS))
        failed, lines = self.run_stages(self.cases_stage(
            case("a"), skipped("logits", "SKIPPED: models/gemma3-270m.gguf is not there; `./dev model gemma3-270m` fetches it"),
            skipped("chip", "SKIPPED: no GPU")))
        self.assertEqual((failed, lines[-1]), (0, "1 passed, 0 failed"))
        self.assertTrue(any("skipped: logits: models/gemma3-270m.gguf is not there" in line for line in lines), lines)
        self.assertTrue(any("not fetched, so not tested: gemma3-270m" in line for line in lines), lines)

    def test_every_reason_that_a_test_gives_for_a_skip_is_judged(self):
        said = {(path, why) for path in (ROOT / "tests").rglob("*_test.cc")
                for why in re.findall(r'\bskip\("([^"]+)"\)', path.read_text())}
        self.assertGreater(len(said), 5)
        for path, why in said:
            self.assertTrue(any(re.fullmatch(pattern, why) for pattern in ci.MAY_SKIP), f"{path}: {why}")

    def test_a_case_that_did_not_run_and_does_not_say_why_has_failed(self):
        for lost in (case("b", "notrun", '<skipped message="Unable to find executable"/>'), skipped("b", "no reason"),
                     case("b", "disabled", '<skipped message="Disabled"/>')):
            self.assertEqual(self.run_stages(self.cases_stage(case("a"), lost))[0], 1)
        self.assertEqual(self.run_stages(self.cases_stage())[0], 1)  # no case at all

    def test_a_stage_does_not_run_without_what_it_needs_or_without_time(self):
        build = ci.Stage("build", ("false",), 60)
        failed, lines = self.run_stages(build, ci.Stage("test", ("true",), 60, needs=("build",)))
        self.assertEqual((failed, lines[-1]), (2, "0 passed, 2 failed"))
        self.assertIn("not run: build failed", "\n".join(lines))
        failed, lines = self.run_stages(ci.Stage("late", ("true",), 60), total_s=0)
        self.assertEqual(lines[-1], "0 passed, 1 failed")

    def test_only_a_stage_that_may_be_left_out_is_no_failure_without_time_and_it_is_named(self):
        for command in ("true", "sleep 60"):
            failed, lines = self.run_stages(ci.Stage("last", ("sh", "-c", command), 60, may_be_left_out=True),
                                            total_s=0.2 if "sleep" in command else 0)
            self.assertEqual((failed, lines[-1]), (0, "0 passed, 0 failed"))
            self.assertIn(f"left out, so not tested: sh -c {command} (the machine is too slow)", lines)
        for limit_s, command in ((1, "sleep 60"), (60, "false")):  # its own time, or its own failure
            failed, lines = self.run_stages(ci.Stage("last", ("sh", "-c", command), limit_s, may_be_left_out=True))
            self.assertEqual((failed, lines[-1]), (1, "0 passed, 1 failed"))

    def test_what_nothing_else_looks_at_is_never_left_out(self):
        spared = {s.name for s in ci.stages() if s.may_be_left_out}
        self.assertEqual(spared - {"cuda"}, {"tsan", "torture", "slow", "needles"})

    def test_stages_run_side_by_side_only_where_there_are_cores(self):
        # Each of the two small ones waits for the other; the large one fails if one of them is running.
        meet = "touch {0}/{1}; while [ ! -e {0}/{2} ]; do sleep 0.01; done; rm -f {0}/busy-{1}"
        left, right = (ci.Stage(a, ("sh", "-c", f"touch {self.logs}/busy-{a}; " + meet.format(self.logs, a, b)), 60, cores=1)
                       for a, b in (("left", "right"), ("right", "left")))
        large = ci.Stage("large", ("sh", "-c", f"! ls {self.logs}/busy-*"), 60)
        failed, lines = self.run_stages(left, right, large)
        self.assertEqual((failed, lines[-1]), (0, "3 passed, 0 failed"))

    def test_every_stage_names_stages_that_there_are(self):
        stages = ci.stages()
        names = {s.name for s in stages}
        for stage in stages:
            self.assertLessEqual(set(stage.needs), names)
            self.assertLessEqual(stage.cores, ci.CORES)
        self.assertTrue(all(re.fullmatch(r"[a-z]+", name) for name in names))


if __name__ == "__main__":
    unittest.main()
