"""What evaluate.py and answers.py share: options, texts, the engine, files of results."""
import hashlib
import json
import random
import subprocess
from pathlib import Path

from evaluation import engine, fetch, paths, sets
from evaluation.test_text import TestText


def add_options(parser, texts, size):
    parser.add_argument("--size", type=int, default=size, help="size of each text in thousands (1,024) of tokens, about")
    parser.add_argument("--texts", nargs="+", default=list(texts), choices=texts, metavar="TEXT", help=", ".join(texts))
    parser.add_argument("--questions", type=int, help="so many of each text's questions, drawn; all by default")
    parser.add_argument("--model", type=Path, default=paths.ROOT / "models/qwen2.5-coder-0.5b.gguf")
    parser.add_argument("--binary", type=Path, default=paths.ROOT / "build/release/bin/reform")
    parser.add_argument("--store", type=Path,
                        help="contexts; by default a folder of the binary's own, so that an old index is not taken for a new one")
    parser.add_argument("--threads", type=int, help="of reform")
    parser.add_argument("--work-dir", type=Path, default=paths.WORK)
    parser.add_argument("--kept", action="store_true", help="run nothing: the table of the cells that are there")


def sha256(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()[:12]


def load_texts(arguments, fetcher):
    """[(TestText, path of its text)], made anew when the code that makes them has changed."""
    folder = Path(sets.__file__).parent
    made_by = sha256(*(p.read_bytes() for p in sorted([*folder.glob("*.py"), *(folder.parent / n for n in
                                                                               ("fetch.py", "markup.py", "test_text.py"))])))
    (arguments.work_dir / "texts").mkdir(parents=True, exist_ok=True)
    tests = []
    for name in arguments.texts:
        stem = arguments.work_dir / "texts" / f"{name}-{arguments.size}k"
        test = TestText.read(stem, made_by)
        if test is None:
            test = sets.TEXTS[name](fetcher, arguments.size * 1024)
            test.write(stem, made_by)
        tests.append((test, stem.with_suffix(".txt")))
    return tests


def drawn(questions, n):
    """The same ones each time, and more of them for a larger n; all if n is None."""
    return questions if n is None or n >= len(questions) else random.Random(1).sample(questions, len(questions))[:n]


def open_engine(arguments):
    for path, advice in ((arguments.binary, "./dev build"), (arguments.model, "./dev model")):
        if not path.is_file():
            raise fetch.FetchError(f"{path} is missing: {advice} makes it, or name another one")
    store = arguments.store or arguments.work_dir / f"store-{sha256(arguments.binary.read_bytes())}"
    return engine.Engine(arguments.binary, arguments.model, store, arguments.threads)


def fill(run, tests, rows, problems):
    """All cells of the rows, unless the binary cannot run one of them: problems has None for each that it can."""
    if said := [p for p in problems if p is not None]:
        raise fetch.FetchError("; ".join(said))
    for test, path in tests:
        for row in rows:
            run.fill(test, path, row)


def write_json(path, value):
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value))
    part.replace(path)


def commit():
    done = subprocess.run(["git", "-C", str(paths.ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def say(text):
    print(text, flush=True)


def shown(path):
    return path.relative_to(paths.ROOT) if path.is_relative_to(paths.ROOT) else path
