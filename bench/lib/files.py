"""Files of results, and what names them."""
import hashlib
import json
import random
import subprocess

from lib.paths import ROOT


def sha256(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()[:12]


def with_ending(stem, ending):
    """The stem and an ending. Names of models hold dots, of which Path.with_suffix would take the last for an ending."""
    return stem.with_name(stem.name + ending)


def write_json(path, value):
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value))
    part.replace(path)


def drawn(questions, n):
    """The same ones each time, and more of them for a larger n; all if n is None."""
    return questions if n is None or n >= len(questions) else random.Random(1).sample(questions, len(questions))[:n]


def commit():
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def say(text):
    print(text, flush=True)


def shown(path):
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
