"""What evaluate.py and answers.py share: options, texts, the filling of cells."""
from pathlib import Path

from evaluation import markup, paths, sets
from lib import fetch, fortunes, python_modules, test_text
from lib.files import sha256, with_ending
from lib.paths import ROOT
from lib.test_text import TestText


def add_options(parser, texts, size):
    parser.add_argument("--size", type=int, default=size, help="size of each text in thousands (1,024) of tokens, about")
    parser.add_argument("--texts", nargs="+", default=list(texts), choices=texts, metavar="TEXT", help=", ".join(texts))
    parser.add_argument("--questions", type=int, help="so many of each text's questions, drawn; all by default")
    parser.add_argument("--model", type=Path, default=ROOT / "models/qwen2.5-coder-0.5b.gguf")
    parser.add_argument("--binary", type=Path, default=ROOT / "build/release/bin/reform")
    parser.add_argument("--store", type=Path,
                        help="contexts; by default a folder of the binary's own, so that an old index is not taken for a new one")
    parser.add_argument("--threads", type=int, help="of reform")
    parser.add_argument("--work-dir", type=Path, default=paths.WORK)
    parser.add_argument("--kept", action="store_true", help="run nothing: the table of the cells that are there")


def load_texts(arguments, fetcher):
    """[(TestText, path of its text)], made anew when the code that makes them has changed."""
    modules = (markup, fetch, fortunes, python_modules, test_text)
    made_by = sha256(*(p.read_bytes() for p in [*sorted(Path(sets.__file__).parent.glob("*.py")), *(Path(m.__file__) for m in modules)]))
    (arguments.work_dir / "texts").mkdir(parents=True, exist_ok=True)
    tests = []
    for name in arguments.texts:
        stem = arguments.work_dir / "texts" / f"{name}-{arguments.size}k"
        test = TestText.read(stem, made_by)
        if test is None:
            test = sets.TEXTS[name](fetcher, arguments.size * 1024)
            test.write(stem, made_by)
        tests.append((test, with_ending(stem, ".txt")))
    return tests


def fill(run, tests, rows, problems):
    """All cells of the rows, unless the binary cannot run one of them: problems has None for each that it can."""
    if said := [p for p in problems if p is not None]:
        raise fetch.FetchError("; ".join(said))
    for test, path in tests:
        for row in rows:
            run.fill(test, path, row)
