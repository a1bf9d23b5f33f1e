#!/usr/bin/env python3
"""clang-tidy over the sources that differ from main, or over all of them; .clang-tidy says what is checked.

Five sixths of clang-tidy's time go to the headers that a source includes, so sources with the same flags are checked
several at a time, as one unit that includes them all. A unit with a finding, or one that does not compile because two of
its sources use one name, tells nothing for certain: it is halved until the source stands alone, and only that counts.

Tests and benches are left to the compiler's warnings. With --seconds it begins nothing new after so long, says how many
files it did not look at, and fails: a check that was cut short has not passed.
"""
import argparse
import collections
import json
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("base", "kernels", "storage", "runtime", "tools")
UNIT_FILES = 24


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


def flags_of(entry):
    """What the compiler is told apart from the names of files, and how to write them."""
    words = iter(shlex.split(entry["command"]))
    kept = []
    for word in words:
        if word in ("-o", "-c", "-MF", "-MT"):
            next(words, None)
        elif word.startswith("-") and word not in ("-MD", "-Werror"):
            kept.append(word)
    return tuple(kept)


def units_of(files, compiled, size=UNIT_FILES):
    """The files in lists that may be checked together: of one folder and with the same flags."""
    alike = collections.defaultdict(list)
    for path in files:
        entry = compiled.get(str(ROOT / path))
        alike[path.split("/")[0], flags_of(entry) if entry else path].append(path)
    return [group[i:i + size] for group in alike.values() for i in range(0, len(group), size)]


def tidy(path, flags, checks=""):
    done = subprocess.run(["clang-tidy", "--quiet", f"--checks={checks}", str(path), "--", *flags,
                           "-Wno-unknown-warning-option"], capture_output=True, text=True)
    return done.returncode, done.stdout


def lint_one(path, compiled):
    # What this build does not compile would be given the flags of a neighbour, a test's pretended headers among them.
    entry = compiled.get(str(ROOT / path))
    folders = [f"-I{ROOT / folder}" for folder in (".", "base/include", "runtime/include")]
    return path, *tidy(ROOT / path, flags_of(entry) if entry else ("-std=c++20", *folders))


def lint_unit(files, compiled, folder):
    """(path, status, findings) of each file: of a unit that is not clean, each half is looked at in turn."""
    if len(files) == 1:
        return [lint_one(files[0], compiled)]
    # .clang-tidy takes headers for ours by their path, and the unit's own path must pass for one of ours, too.
    unit = folder / files[0].replace("/", "_").replace("_", "/", 1).replace(".cc", f"_and_{len(files) - 1}_more.cc")
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text("".join(f'#include "{ROOT / path}"\n' for path in files))
    if tidy(unit, flags_of(compiled[str(ROOT / files[0])]), "-bugprone-suspicious-include")[0] == 0:
        return [(path, 0, "") for path in files]
    half = len(files) // 2
    return lint_unit(files[:half], compiled, folder) + lint_unit(files[half:], compiled, folder)


def main():
    parser = argparse.ArgumentParser(prog="./dev lint")
    parser.add_argument("--all", action="store_true", help="every source, not only what differs from main")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no file after so long")
    parser.add_argument("--build", type=Path, default=ROOT / "build/lint", help="has compile_commands.json")
    arguments = parser.parse_args()
    database = arguments.build / "compile_commands.json"
    if not database.is_file():
        print(f"lint: {arguments.build} has no compile_commands.json; ./dev lint makes it", file=sys.stderr)
        return 2
    files, begun, printed = wanted_files(arguments.all), time.monotonic(), set()
    n_bad = n_skipped = 0
    # A file of several targets comes several times: the last of its own library's flags would do as well as the first.
    compiled = {entry["file"]: entry for entry in reversed(json.loads(database.read_text()))}

    def check(unit):
        late = time.monotonic() - begun > arguments.seconds
        return [(path, None, "") for path in unit] if late else lint_unit(unit, compiled, arguments.build / "units")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, status, findings in (found for unit in pool.map(check, units_of(files, compiled)) for found in unit):
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
