#!/usr/bin/env python3
"""clang-tidy over the sources that differ from main, or over all of them; .clang-tidy says what is checked.

Tests and benches are left to the compiler's warnings. With --seconds it stops beginning new files after so long, says how
many it did not look at, and fails: a check that was cut short has not passed.
"""
import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("base", "kernels", "storage", "runtime", "tools")


def git(*arguments):
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    return done.stdout.split("\n") if done.returncode == 0 else None


def changed_files():
    """What differs from main (its merge base with HEAD) or is not committed; None if there is no main."""
    for main in ("origin/main", "main"):
        base = git("merge-base", main, "HEAD")
        if base:
            return set(git("diff", "--name-only", base[0]) + git("ls-files", "--others", "--exclude-standard"))
    return None


def wanted_files(look_at_all):
    sources = [p for folder in FOLDERS for p in git("ls-files", f"{folder}/*.cc") if p]
    changed = None if look_at_all else changed_files()
    if changed is None:
        return sources
    # A changed header is linted through the sources beside it.
    folders = {os.path.dirname(p) for p in changed if p.endswith(".h")}
    return [p for p in sources if p in changed or os.path.dirname(p) in folders]


def lint(path, build, compiled):
    # What this build does not compile would be given the flags of a neighbour, a test's pretended headers among them.
    known = ["-p", str(build)] if str(ROOT / path) in compiled else []
    folders = [f"-I{ROOT / folder}" for folder in (".", "base/include", "runtime/include")]
    plain = [] if known else ["--", "-std=c++20", *folders]
    done = subprocess.run(["clang-tidy", *known, "--quiet", "--extra-arg=-Wno-unknown-warning-option", str(ROOT / path),
                           *plain], capture_output=True, text=True)
    return path, done.returncode, done.stdout


def main():
    parser = argparse.ArgumentParser(prog="./dev lint")
    parser.add_argument("--all", action="store_true", help="every source, not only what differs from main")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no file after so long")
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="has compile_commands.json")
    arguments = parser.parse_args()
    database = arguments.build / "compile_commands.json"
    if not database.is_file():
        print(f"lint: {arguments.build} has no compile_commands.json; ./dev build makes it", file=sys.stderr)
        return 2
    files, begun, printed = wanted_files(arguments.all), time.monotonic(), set()
    n_bad = n_skipped = 0
    compiled = {entry["file"] for entry in json.loads(database.read_text())}

    def one(path):
        late = time.monotonic() - begun > arguments.seconds
        return (path, None, "") if late else lint(path, arguments.build, compiled)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, status, findings in pool.map(one, files):
            n_skipped += status is None
            if status:
                n_bad += 1
                if findings not in printed:  # a header's finding comes once per source that includes it
                    print(f"{path}:\n{findings}", flush=True)
                printed.add(findings)
    print(f"lint: {len(files) - n_skipped} of {len(files)} files in {time.monotonic() - begun:.0f} s, {n_bad} with findings"
          + (f", {n_skipped} NOT LOOKED AT" if n_skipped else ""))
    return 1 if n_bad or n_skipped else 0


if __name__ == "__main__":
    sys.exit(main())
