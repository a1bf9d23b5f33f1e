"""Runs the reform command with --json and returns its object. Standard library only."""
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = ROOT / "build/release/bin/reform"


class CommandFailed(Exception):
    """The command's exit status and message; the text is for the user."""


def run_lines(*arguments, binary=BINARY, show_progress=False, timeout_s=None):
    """`reform ARGUMENTS --json` as a list of dicts, one per line: `search --file` writes one for each question. With
    show_progress its standard error goes straight to ours."""
    command = [str(binary), *map(str, arguments), "--json"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=None if show_progress else subprocess.PIPE, timeout=timeout_s)
    except OSError as error:
        raise CommandFailed(f"{binary} cannot be run: {error.strerror}; ./dev build makes it") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{' '.join(command)}: not done after {timeout_s:.0f} s") from error
    if done.returncode != 0:
        said = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        raise CommandFailed(f"{' '.join(command)}: exit status {done.returncode}: {' '.join(said[-3:])}")
    try:
        return [json.loads(line) for line in done.stdout.splitlines()]
    except ValueError as error:
        raise CommandFailed(f"{' '.join(command)}: standard output is not one JSON object per line: {error}") from error


def run(*arguments, **options):
    """The one object of run_lines()."""
    objects = run_lines(*arguments, **options)
    if len(objects) != 1:
        raise CommandFailed(f"reform {' '.join(map(str, arguments))}: {len(objects)} JSON objects, expected one")
    return objects[0]
