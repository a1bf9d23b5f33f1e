#!/usr/bin/env python3
"""All checks from nothing, within an hour on two cores: `./dev ci` runs this once the packages are there.

Each stage runs under a time limit, with its output in build/ci/STAGE.log; what failed is printed with the end of its log.
A stage whose precondition failed, or for which no time is left, counts as failed: nothing is passed over in silence. Ends
with a table and the line `N passed, N failed`, which counts test cases where a stage has them, else the stage as one.
"""
import os
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

from process_group import stop

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build/ci"
TOTAL_S = 58 * 60
MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b")
FUZZ_S = 60


@dataclass
class Stage:
    name: str
    command: tuple
    limit_s: int
    needs: tuple = ()  # stages that must have passed
    junit: str = ""  # the file in build/ci with the stage's test cases
    shows: int = 0  # so many of its last lines are printed when it passes
    # Filled in by running it.
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0
    note: str = ""
    bad_cases: list = field(default_factory=list)


def ctest_flags(junit):
    return ("--output-junit", str(LOGS / junit))


def stages():
    result = [
        Stage("format", ("./dev", "fmt", "--check"), 120),
        Stage("models", ("sh", "-c", " && ".join(f"./dev model {m}" for m in MODELS)), 600),
        Stage("build", ("./dev", "build"), 900, shows=1),
        Stage("layers", ("./dev", "layers", "--require-objects"), 60, needs=("build",), shows=1),
        Stage("test", ("./dev", "test", *ctest_flags("test.xml")), 900, needs=("build", "models"), junit="test.xml"),
        Stage("lint", ("./dev", "lint", "--all"), 1200, needs=("build",), shows=1),
        Stage("asan", ("./dev", "asan", *ctest_flags("asan.xml")), 1500, junit="asan.xml"),
        Stage("tsan", ("./dev", "tsan", *ctest_flags("tsan.xml")), 900, junit="tsan.xml"),
        Stage("fuzz", ("./dev", "fuzz", str(FUZZ_S), *ctest_flags("fuzz.xml")), 600, junit="fuzz.xml"),
        Stage("torture", (sys.executable, "scripts/torture.py", "--kills", "50", "--seconds", "60"), 600, needs=("build",),
              shows=2),
        Stage("bench", ("./dev", "bench", "--tiny"), 180, needs=("build",)),
        Stage("examples", ("examples/build_against_install.sh", "build/release", f"models/{MODELS[0]}.gguf", "LICENSE",
                           "Which conditions must be met when the work is passed on?"), 300, needs=("build", "models")),
        Stage("readme", ("grep", "-qE", r"^ *(\$ )?\./dev demo", "README.md"), 10),
        Stage("demo", ("./dev", "demo"), 600, needs=("build", "models"), shows=12),
        Stage("needles", (sys.executable, "scripts/needles.py"), 900, needs=("build", "models"), shows=1),
    ]
    if any((ROOT / "kernels").rglob("*.cu")) and shutil.which("nvcc"):
        result.insert(6, Stage("cuda", ("./dev", "cuda"), 900))
    return result


def say(text=""):
    print(text, flush=True)


def run_command(stage, deadline):
    """Whether the command passed within its time; its output goes to the stage's log."""
    limit = min(time.monotonic() + stage.limit_s, deadline)
    with open(LOGS / f"{stage.name}.log", "wb") as log:
        process = subprocess.Popen(stage.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        while True:
            try:
                status = process.wait(min(60, max(limit - time.monotonic(), 0.1)))
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() >= limit:
                    stop(process)
                    stage.note = f"stopped after {stage.limit_s} s" if limit < deadline else "stopped, the hour is over"
                    return False
                say(f"  {stage.name}: running")
            except BaseException:
                stop(process)
                raise
    if status != 0:
        stage.note = f"exit status {status}"
    return status == 0


def count_cases(stage):
    """Counts the stage's test cases out of ctest's report; a case that was to run and did not has failed."""
    path = LOGS / stage.junit
    if not path.is_file():
        return
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("skipped") is not None and case.get("status") == "notrun":
            reason = (case.find("skipped").get("message") or "").upper()
            if "SKIP" in reason:
                stage.skipped += 1
                continue
        if case.get("status") == "run" and case.find("failure") is None:
            stage.passed += 1
        else:
            stage.failed += 1
            stage.bad_cases.append(case.get("name"))


def run_stage(stage, passed_stages, deadline):
    missing = [n for n in stage.needs if n not in passed_stages]
    if missing or time.monotonic() >= deadline:
        stage.failed, stage.note = 1, f"not run: {missing[0]} failed" if missing else "not run: the hour is over"
        return
    if stage.junit:
        (LOGS / stage.junit).unlink(missing_ok=True)
    begun = time.monotonic()
    ok = run_command(stage, deadline)
    stage.seconds = time.monotonic() - begun
    if stage.junit:
        count_cases(stage)
        if ok and stage.passed == 0:
            ok, stage.note = False, "no test case ran"
    if not ok and stage.failed == 0:
        stage.failed = 1
    if ok and not stage.junit:
        stage.passed = 1


def report(stage):
    lines = (LOGS / f"{stage.name}.log").read_text(errors="replace").replace("\r", "\n").splitlines() \
        if (LOGS / f"{stage.name}.log").is_file() else []
    if stage.failed:
        say(f"FAILED {stage.name} {stage.note}")
        for line in lines[-150:]:
            say(f"  | {line}")
    else:
        cases = f", {stage.passed} test cases" if stage.junit else ""
        say(f"passed {stage.name} in {stage.seconds:.0f} s{cases}")
        for line in lines[len(lines) - stage.shows:] if stage.shows else ():
            say(f"  {line}")


def main():
    os.chdir(ROOT)
    LOGS.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    deadline = begun + TOTAL_S
    todo = stages()
    passed_stages = set()
    # The download waits for the network, so it runs beside the build.
    models = next(s for s in todo if s.name == "models")
    fetching = threading.Thread(target=run_stage, args=(models, set(), deadline))
    fetching.start()
    for stage in todo:
        if stage is models:
            continue
        if "models" in stage.needs:
            fetching.join()
            if not models.failed:
                passed_stages.add("models")
        say(f"== {stage.name}: {' '.join(stage.command)}")
        run_stage(stage, passed_stages, deadline)
        report(stage)
        if not stage.failed:
            passed_stages.add(stage.name)
    fetching.join()
    report(models)
    say(f"\n{'stage':10} {'seconds':>8} {'passed':>7} {'failed':>7} {'skipped':>8}")
    for stage in todo:
        say(f"{stage.name:10} {stage.seconds:8.0f} {stage.passed:7} {stage.failed:7} {stage.skipped:8}  {stage.note}")
        for name in stage.bad_cases:
            say(f"{'':10} failed: {name}")
    say(f"{'in all':10} {time.monotonic() - begun:8.0f}")
    n_failed = sum(s.failed for s in todo)
    say(f"{sum(s.passed for s in todo)} passed, {n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
