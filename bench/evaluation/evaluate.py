#!/usr/bin/env python3
"""A long-context evaluation: tasks, lengths, methods (README.md).

    python3 bench/evaluation/evaluate.py --quick
    python3 bench/evaluation/evaluate.py --list --hours 8
    python3 bench/evaluation/evaluate.py --hours 8

Everything goes to build/evaluation/: downloads, texts, contexts, a JSON file per cell, the tables and the pictures. A run that was
stopped goes on with the same command.
"""
import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")
from tasks import FAMILIES, TASKS  # noqa: E402, I001 (makes `lib` known)
from harness import cells, order, outcomes, plan, plots, report  # noqa: E402
from harness.rows import CHOSEN, ROWS  # noqa: E402
from harness.texts import Texts  # noqa: E402
from lib import fetch  # noqa: E402
from lib.baselines import Baselines  # noqa: E402
from lib.engine import open_engine, run_script  # noqa: E402
from lib.files import commit, drawn, say, sha256, shown, with_ending  # noqa: E402
from lib.paths import BUILD, ROOT  # noqa: E402
from tasks.sources import Sources  # noqa: E402

DEFAULT_ROWS = ("reform", "full", "bm25", "dense", "evidence")
QUICK = {"tasks": ["niah_multikey_1", "babilong_qa1"], "tokens": [512, 1024], "budgets": [256], "rows": ["reform", "full", "bm25"],
         "questions": 2, "per_text": 2}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), metavar="TASK", help=f"families ({', '.join(FAMILIES)}) or "
                        f"tasks ({', '.join(TASKS)})")
    parser.add_argument("--tokens", nargs="+", type=int, default=[plan.BASE_TOKENS, 16384, 65536], metavar="N", help="lengths of the texts")
    parser.add_argument("--rows", nargs="+", default=list(DEFAULT_ROWS), choices=ROWS, metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--budgets", nargs="+", type=int, default=[256, 1024], metavar="TOKENS", help="of the text, in the prompt")
    parser.add_argument("--base", default="bm25", choices=ROWS, metavar="ROW", help="the row that others are compared with")
    parser.add_argument("--questions", type=int, default=8, help="of each task at each length, at least")
    parser.add_argument("--per-text", type=int, help="questions on one text at most; by default as many as the task allows")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, default=ROOT / "models/qwen2.5-coder-0.5b.gguf")
    parser.add_argument("--binary", type=Path, default=BUILD / "release/bin/reform")
    parser.add_argument("--store", type=Path, help="contexts; by default a folder of the binary's and the model's own")
    parser.add_argument("--max-store-bytes", default="8GiB", help="of the store; contexts asked least recently make room for others")
    parser.add_argument("--threads", type=int, help="of reform")
    parser.add_argument("--work-dir", type=Path, default=BUILD / "evaluation")
    parser.add_argument("--hours", type=float, help="run what is worth most in so many hours")
    parser.add_argument("--list", action="store_true", help="show all cells in order of worth, with an estimate of their time")
    parser.add_argument("--kept", action="store_true", help="run nothing: tables and pictures of the cells that are there")
    parser.add_argument("--quick", action="store_true", help=f"a small run: {QUICK}")
    parser.add_argument("--order", action="store_true", help="only ask one text's questions in two orders, alone and again")
    parser.add_argument("--show", type=int, metavar="N", help="print N questions of each task with evidence and replies, and end")
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(QUICK)
    check(parser, arguments)
    return arguments


def check(parser, arguments):
    named = []
    for name in arguments.tasks:
        tasks = [t.name for t in TASKS.values() if name in (t.name, t.family)]
        if not tasks:
            parser.error(f"no task or family {name}; there are {', '.join([*FAMILIES, *TASKS])}")
        named += tasks
    arguments.tasks = list(dict.fromkeys(named))
    for option, least in (("tokens", 512), ("budgets", 16)):
        setattr(arguments, option, sorted(set(getattr(arguments, option))))
        if min(getattr(arguments, option)) < least:
            parser.error(f"--{option} {min(getattr(arguments, option))}: at least {least}")
    for option in ("questions", "per_text"):
        if getattr(arguments, option) is not None and getattr(arguments, option) < 1:
            parser.error(f"--{option.replace('_', '-')} {getattr(arguments, option)}: at least 1")


class Run:
    def __init__(self, arguments):
        self.arguments, work = arguments, arguments.work_dir
        self.fetcher = fetch.Fetcher(work / "downloads")
        model_key = f"{arguments.model.stem}-{sha256(str(arguments.model.stat().st_size))[:4]}" if arguments.model.is_file() else "none"
        if arguments.store is None and arguments.binary.is_file():
            arguments.store = work / f"store-{sha256(arguments.binary.read_bytes())}-{model_key}"
        self.engine = open_engine(arguments)
        self.texts = Texts(work / "texts", Sources(self.fetcher), model_key, self.engine.count_tokens)
        store_options = ("--max-store-bytes", arguments.max_store_bytes, "--when-full", "evict")
        self.cells = cells.Cells(work / "cells", self.texts, self.engine, Baselines(self.fetcher, work / "embeddings"), model_key,
                                 arguments.questions, store_options)
        self.all = plan.all_cells(arguments, self.engine.window())

    def refuse(self):
        """Names what the binary lacks of the rows."""
        uses = {row: ROWS[row].uses(self.arguments.budgets[0], 1) for row in self.arguments.rows}
        said = [problem for row, used in uses.items() if (problem := self.engine.lacks(row, used))]
        if said:
            raise fetch.FetchError("; ".join(said))

    def planned(self):
        """[(cell, seconds)] of the cells that lack replies, in order of worth; a comparison is taken whole, or not if the hours end."""
        kept = [k for cell in self.all if (k := self.cells.read(cell))["replies"]]
        speed = plan.measured(plan.Speed(self.arguments.model.stat().st_size), kept)
        read = {plan.reading_key(c) for c in self.all if self.cells.read(c)["reading"]}
        groups = plan.in_order_of_worth(self.all, {c: self.cells.missing(c) for c in self.all}, speed, self.arguments.questions,
                                        lambda cell: plan.reading_key(cell) in read)
        left, chosen = float("inf") if self.arguments.hours is None else 3600 * self.arguments.hours, []
        for group in groups:
            seconds = sum(s for _, s in group)
            if seconds <= left:
                left -= seconds
                chosen += group
        return chosen

    def show_plan(self):
        total = 0
        for cell, seconds in self.planned():
            total += seconds
            print(f"{seconds:8.0f} s {total / 3600:8.2f} h  {cell}")

    def fill(self):
        begun, planned = time.monotonic(), self.planned()
        for number, (cell, seconds) in enumerate(planned):
            spent = time.monotonic() - begun
            if self.arguments.hours is not None and spent + seconds > 3600 * self.arguments.hours:
                say(f"{number + 1}/{len(planned)} {cell}: left out, as the hours are over")
                continue
            self.cells.fill(cell)
            say(f"{number + 1}/{len(planned)} {cell}: {time.monotonic() - begun - spent:.1f} s, estimated {seconds:.1f}")

    def order(self):
        """The exit status: 0 if no byte differs."""
        cell, found = next((c for c in self.all if ROWS[c.row].sees not in CHOSEN), None), []
        if cell is None:
            raise ValueError("--order needs a row that asks a context, such as reform")
        test, path = self.texts.get(cell, 0)
        questions = [" ".join(q["question"].split()) for q in test.questions]
        name, _ = self.engine.ingest(path, test.text, ROWS[cell.row].ingest, self.cells.store_options)
        found = order.differences(self.engine, name, questions, cell.budget, TASKS[cell.task].reply_tokens)
        print(order.report(path.stem, questions, found))
        return 1 if found else 0

    def show(self):
        for cell in self.all:
            kept = self.cells.read(cell)
            for test in self.cells.replied(cell, kept):
                for question in drawn(test.questions, self.arguments.show):
                    said = kept["replies"].get(sha256(test.text), {}).get(cells.question_key(question))
                    if said:
                        of = outcomes.outcome(TASKS[cell.task], test, question, said)
                        print(f"\n{cell}: {of.score:.2f}{'' if of.visible else ', not visible'}\n  {question['question']}\n"
                              f"  answers: {question['answers'][:10]}\n  reply: {' '.join(said['reply'].split())}")

    def facts(self, versions):
        per_text = {c.task: c.per_text for c in self.all}
        alone = [task for task, n in per_text.items() if n == 1]
        shared = [f"{task} {n}" for task, n in per_text.items() if n > 1]
        lines = [f"Answered by {self.arguments.model.stem}; reform {self.engine.version['version']}, binary {self.engine.version['sha256']}, "
                 f"commit {commit()}; seed {self.arguments.seed}.", "", f"Each question has a text of its own: {', '.join(alone) or 'none'}. "
                 f"Questions that share a text: {', '.join(shared) or 'none'}.", "",
                 f"Texts are made of {', '.join(f'{name} {version}' for name, version in sorted(versions.items())) or 'words of our own'}."]
        for name in self.arguments.rows:
            row = ROWS[name]
            said = "; ".join(f"{verb} {' '.join(options) or '(defaults)'}" for verb, options in
                             (("ingest", row.ingest), ("ask", row.ask))) if row.sees == "ask" else f"the prompt of generate holds: {row.sees}"
            lines += ["", f"`{name}`: {said}"]
        return lines

    def report(self):
        found = outcomes.Outcomes(self.cells, self.all)
        words = [f"--{name.replace('_', '-')} {' '.join(map(str, value)) if isinstance(value, list) else value}" for name in
                 ("tasks", "tokens", "rows", "budgets", "base", "questions", "per_text", "seed")
                 if (value := getattr(self.arguments, name)) is not None]
        repeat = f"python3 bench/evaluation/evaluate.py --model models/{self.arguments.model.name} "
        repeat += "--quick" if self.arguments.quick else " ".join(words)
        stem = self.arguments.work_dir / f"{'quick' if self.arguments.quick else 'tables'}-{self.arguments.model.stem}"
        text = report.markdown(found, self.all, self.arguments, self.facts(found.versions), repeat)
        with_ending(stem, ".md").write_text(text)
        drawings = plots.draw(found, self.arguments, stem)
        print(text)
        print("written: " + ", ".join(str(shown(p)) for p in [with_ending(stem, ".md"), *(drawings or [])])
              + ("; no pictures: matplotlib is missing" if drawings is None else ""))


def main():
    run = Run(parse())
    if run.arguments.list:
        run.show_plan()
        return 0
    if run.arguments.show is not None:
        run.show()
        return 0
    if not run.arguments.kept:
        run.refuse()
    if run.arguments.order:
        return run.order()
    if not run.arguments.kept:
        run.fill()
    run.report()
    return 0


if __name__ == "__main__":
    run_script("evaluate", main)
