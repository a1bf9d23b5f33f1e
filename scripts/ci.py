#!/usr/bin/env python3
"""All checks from nothing, meant to take 50 minutes on two cores: `./dev ci` runs this once the packages are there. A shared
machine can be three times as slow, so 84 minutes are the limit.

Each stage runs under a time limit, with its output in build/ci/STAGE.log; what failed is printed with the end of its log.
A stage whose precondition failed, or for which no time is left, counts as failed; but the last ones are then left out and
named: earlier ones have looked at most of the same in another way. A test case that was skipped has failed, unless MAY_SKIP
says why it may be: nothing is passed over in silence. Ends with a table and the line
`N passed, N failed`, which counts test cases where a stage has them, else the stage as one.
"""
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field, replace
from pathlib import Path

from fetch_model import MODELS
from process_group import stop

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build/ci"
GOAL_S = 50 * 60  # said, where it is missed
TOTAL_S = 84 * 60  # a slower machine may take so long
CORES = 2
FETCHED = tuple(m.name for m in MODELS.values() if not m.must_accept)
NOT_FETCHED = {m.name: f"{m.licence}: only a user can accept them" for m in MODELS.values() if m.must_accept}
FUZZ_S = 30
# How the builds take half the time. The CUDA stage, which is the last, goes on in the release tree, most of which serves it;
# of the chips it compiles for the least and the one with kernels of its own.
QUICKER = {"CCACHE_DISABLE": "1", "REFORM_FEWER_UNITS": "ON", "REFORM_CUDA_CHIPS": "80;90a", "REFORM_CUDA_TREE": "release"}
# What a skipped test case prints after "SKIPPED: " (tests/support/skip.h), and why that is no failure here.
MAY_SKIP = {
    **{rf"models/{re.escape(name)}\.gguf is not there": why for name, why in NOT_FETCHED.items()},
    "no GPU(, or built without CUDA)?": "the kernels also run under emulation",
    "no (small disk|file system) can be mounted here": "not every machine lets CI mount one",
    "no mount namespace here": "not every machine lets CI have one",
    "no system call can be filtered here": "not every machine lets CI filter them",
    "a sanitizer needs memory, threads and files of its own": "the release build runs these",
    "this kernel does not forget a peak": "the bound is then checked where the kernel does",
    "no other user can run the command here": "the tree may lie where only its owner reads",
    "only root can become a user that the system does not know": "CI need not be root",
}


@dataclass
class Stage:
    name: str
    command: tuple
    limit_s: int
    needs: tuple = ()  # stages that must have passed
    after: tuple = ()  # stages that must have ended
    junit: str = ""  # the file in build/ci with the stage's test cases
    shows: int = 0  # so many of its last lines are printed when it passes
    cores: int = CORES  # how many it keeps busy; stages run side by side while there are cores for them
    may_be_left_out: bool = False  # where the total time is over
    # Filled in by running it.
    process: subprocess.Popen = None
    passed: int = 0
    failed: int = 0
    skips: list = field(default_factory=list)  # (test case, what it said) of those that may be skipped
    seconds: float = 0
    left_out: bool = False
    note: str = ""
    bad_cases: list = field(default_factory=list)


def ctest_flags(junit):
    return ("--output-junit", str(LOGS / junit))


def stages():
    result = [
        # The download waits for the network, and these two are done in a moment.
        Stage("models", ("sh", "-c", " && ".join(f"./dev model {m}" for m in FETCHED)), 1200, cores=0),
        Stage("format", ("./dev", "fmt", "--check"), 300, cores=0),
        Stage("readme", ("grep", "-qE", r"^ *(\$ )?\./dev demo", "README.md"), 10, cores=0),
        Stage("build", ("./dev", "build"), 2400, shows=1),
        Stage("layers", ("./dev", "layers", "--require-objects"), 180, needs=("build",), shows=1, cores=0),
        Stage("lint", ("./dev", "lint", "--all"), 1200, shows=1),
        Stage("test", ("./dev", "test", *ctest_flags("test.xml")), 1200, needs=("build", "models"), junit="test.xml"),
        # Of the slow ones, the smallest model's and those without a model: the others' take ten minutes.
        Stage("demo", ("./dev", "demo"), 1200, needs=("build", "models"), shows=12),
        Stage("examples", ("examples/build_against_install.sh", "build/release", f"models/{FETCHED[0]}.gguf", "LICENSE",
                           "Which conditions must be met when the work is passed on?"), 300, needs=("build", "models"),
              cores=1),
        Stage("clients", (sys.executable, "scripts/clients.py", "--model", f"models/{FETCHED[0]}.gguf", "--verses",
                          "1sam1:1-1sam9:27"), 600, needs=("build", "models"), shows=4, cores=1),
        Stage("api", (sys.executable, "scripts/api_check.py"), 300, needs=("build",), shows=1, cores=1),
        Stage("bench", ("./dev", "bench", "--tiny"), 300, needs=("build",), cores=1),
        Stage("asan", ("./dev", "asan", *ctest_flags("asan.xml")), 2700, needs=("models",), junit="asan.xml"),
        # Its programs are part of asan's build.
        Stage("fuzz", ("./dev", "fuzz", str(FUZZ_S), *ctest_flags("fuzz.xml")), 600, needs=("asan",), junit="fuzz.xml"),
    ]
    result += [replace(stage, may_be_left_out=True) for stage in (
        Stage("tsan", ("./dev", "tsan", *ctest_flags("tsan.xml")), 1200, junit="tsan.xml"),
        Stage("torture", (sys.executable, "scripts/torture.py", "--kills", "12", "--seconds", "15"), 1200, needs=("build",),
              shows=2, cores=1),
        # Of the slow ones, the smallest model's and those without a model: the others' take ten minutes.
        Stage("slow", ("./dev", "slow", "-E", "qwen2.5|gemma3", *ctest_flags("slow.xml")), 600, needs=("build", "models"),
              junit="slow.xml"),
        # The demo reads a text four times as long with a larger model.
        Stage("needles", (sys.executable, "scripts/needles.py", "--model", f"models/{FETCHED[0]}.gguf", "--verses",
                          "1sam1:1-1sam17:58", "--min-tokens", "16384", "--needles", "20", "--answers", "2"), 900,
              needs=("build", "models"), shows=1),
    )]
    if any((ROOT / "kernels").rglob("*.cu")) and shutil.which("nvcc"):
        others = tuple(s.name for s in result if "build" in s.needs)
        result.append(Stage("cuda", ("./dev", "cuda"), 1200, after=others, may_be_left_out=True))
    return result


def say(text=""):
    print(text, flush=True)


def end_of_time(stage, what):
    stage.left_out = stage.may_be_left_out
    stage.failed = 0 if stage.left_out else 1
    stage.note = f"{'LEFT OUT, ' if stage.left_out else ''}{what}: the time is over"


def run_command(stage, deadline):
    """Whether the command passed within its time; its output goes to the stage's log."""
    limit = min(time.monotonic() + stage.limit_s, deadline)
    with open(LOGS / f"{stage.name}.log", "wb") as log:
        stage.process = subprocess.Popen(stage.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                         stderr=subprocess.STDOUT, start_new_session=True)
        while True:
            try:
                status = stage.process.wait(min(60, max(limit - time.monotonic(), 0.1)))
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() >= limit:
                    stop(stage.process)
                    if limit < deadline:
                        stage.note = f"stopped after {stage.limit_s} s"
                    else:
                        end_of_time(stage, "stopped")
                    return False
                say(f"  {stage.name}: running")
    if status != 0:
        stage.note = f"exit status {status}"
    return status == 0


def count_cases(stage):
    """Counts the stage's test cases out of ctest's report; a case that was to run and did not has failed."""
    path = LOGS / stage.junit
    if not path.is_file():
        return
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        said = re.search(r"^SKIPPED: (.*)", case.findtext("system-out") or "", re.MULTILINE)
        if case.get("status") == "run" and case.find("failure") is None:
            stage.passed += 1
        elif case.get("status") == "notrun" and said and any(re.match(pattern + r"(;|$)", said[1]) for pattern in MAY_SKIP):
            stage.skips.append((case.get("name"), said[1]))
        else:
            stage.failed += 1
            stage.bad_cases.append(case.get("name") + (f" (skipped: {said[1]})" if said else ""))


def run_stage(stage, passed_stages, deadline):
    missing = [n for n in stage.needs if n not in passed_stages]
    if missing:
        stage.failed, stage.note = 1, f"not run: {missing[0]} failed"
        return
    if time.monotonic() >= deadline:
        end_of_time(stage, "not run")
        return
    say(f"== {stage.name}: {' '.join(stage.command)}")
    if stage.junit:
        (LOGS / stage.junit).unlink(missing_ok=True)
    begun = time.monotonic()
    ok = run_command(stage, deadline)
    stage.seconds = time.monotonic() - begun
    if stage.left_out:
        return
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
    elif stage.left_out:
        say(f"{stage.name} {stage.note}")
    else:
        cases = f", {stage.passed} test cases" if stage.junit else ""
        say(f"passed {stage.name} in {stage.seconds:.0f} s{cases}")
        for line in lines[len(lines) - stage.shows:] if stage.shows else ():
            say(f"  {line}")


def run_all(todo, deadline):
    """Runs each stage once what it needs has ended and there are cores for it, the earlier in the list the sooner."""
    changed = threading.Condition()
    waiting, running, ended = list(todo), [], []

    def run(stage):
        try:
            run_stage(stage, {s.name for s in ended if not s.failed}, deadline)
        except Exception as error:  # of ours, and no reason to wait for this stage for ever
            stage.failed, stage.note = stage.failed or 1, repr(error)
        with changed:
            report(stage)
            running.remove(stage)
            ended.append(stage)
            changed.notify()

    try:
        with changed:
            while waiting or running:
                names = {s.name for s in ended}
                free = CORES - sum(s.cores for s in running)
                ready = next((s for s in waiting if s.cores <= free and names.issuperset(s.needs + s.after)), None)
                if ready is None:
                    changed.wait()
                    continue
                waiting.remove(ready)
                running.append(ready)
                threading.Thread(target=run, args=(ready,), daemon=True).start()
    except BaseException:  # an interrupt: nothing is left running
        for stage in running:
            if stage.process is not None:
                stop(stage.process)
        raise


def print_table(todo, seconds):
    say(f"\n{'stage':10} {'seconds':>8} {'passed':>7} {'failed':>7} {'skipped':>8}")
    for stage in todo:
        say(f"{stage.name:10} {stage.seconds:8.0f} {stage.passed:7} {stage.failed:7} {len(stage.skips):8}  {stage.note}")
        for name in stage.bad_cases:
            say(f"{'':10} failed: {name}")
        for name, said in stage.skips:
            say(f"{'':10} skipped: {name}: {said}")
    say(f"{'in all':10} {seconds:8.0f}" + (f"  over the {GOAL_S} s it should take" if seconds > GOAL_S else ""))
    if all(s.name != "cuda" for s in todo):
        say("no stage cuda: there is no nvcc")
    for name, why in NOT_FETCHED.items():
        say(f"not fetched, so not tested: {name} ({why})")
    for stage in todo:
        if stage.left_out:
            say(f"left out, so not tested: {' '.join(map(str, stage.command))} (the machine is too slow)")
    n_failed = sum(s.failed for s in todo)
    say(f"{sum(s.passed for s in todo)} passed, {n_failed} failed")
    return n_failed


def main():
    os.chdir(ROOT)
    LOGS.mkdir(parents=True, exist_ok=True)
    os.environ.update(QUICKER)
    begun = time.monotonic()
    todo = stages()
    run_all(todo, begun + TOTAL_S)
    return 1 if print_table(todo, time.monotonic() - begun) else 0


if __name__ == "__main__":
    sys.exit(main())
