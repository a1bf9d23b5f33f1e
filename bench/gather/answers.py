#!/usr/bin/env python3
"""Right answers to questions about texts that no head was chosen on (README.md).

    python3 bench/gather/answers.py
    python3 bench/gather/answers.py --rows alone closed-book --questions 5
    python3 bench/gather/answers.py --show 5

The texts, the contexts and the folder are those of evaluate.py. A cell is a JSON file with the replies of one row about one text,
written after each reply: a run that was stopped goes on with the same command. --show prints replies with their judgement.
"""
import argparse
import json
import time

from evaluation import answer_report, judge, replies, sets
from evaluation.shared import add_options, fill, load_texts
from lib import engine, fetch, gold
from lib.files import commit, drawn, say, sha256, shown, write_json

TEXTS = ("perlfaq", "pythonfaq", "debianfaq", "code", "needles", "paraphrase")
BASE, WITHOUT_TEXT = "defaults", "closed-book"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, TEXTS, 16)
    parser.add_argument("--rows", nargs="+", default=list(replies.ROWS), choices=replies.ROWS, metavar="ROW",
                        help=", ".join(replies.ROWS))
    parser.add_argument("--show", type=int, metavar="N", help="print the replies to N questions of each text, and end")
    return parser.parse_args()


class Run:
    def __init__(self, arguments):
        self.arguments, self.model = arguments, arguments.model.stem
        self.cells = arguments.work_dir / "answers"
        self.cells.mkdir(parents=True, exist_ok=True)
        self.engine, self.answers = engine.open_engine(arguments), judge.Answers()

    def questions(self, test):
        """Those with an answer."""
        return drawn([q for q in test.questions if self.answers.of(q)], self.arguments.questions)

    def cell_path(self, test, path, row):
        key = [self.model, sha256(test.text), test.questions, row.name, row.uses(), row.sees, self.engine.version]
        return self.cells / f"{path.stem}_{row.name}_{sha256(key)}.json"

    def cell(self, test, path, row):
        """replies: {the words asked: what replies.reply() gives}"""
        out = self.cell_path(test, path, row)
        if out.exists():
            return json.loads(out.read_text())
        return {"row": row.name, "text": path.stem, "model": self.model, "commit": commit(), "binary": self.engine.version,
                "versions": test.versions, "options": row.uses(), "replies": {}}

    def fill(self, test, path, row):
        cell = self.cell(test, path, row)
        missing = [q for q in self.questions(test) if self.answers.words(q) not in cell["replies"]]
        if not missing:
            return
        begun = time.monotonic()
        context = None if row.sees in replies.PROMPTS else self.engine.ingest(path, test.text, row.ingest)[0]
        for question in missing:
            asked = self.answers.words(question)
            cell["replies"][asked] = replies.reply(self.engine, row, context, test.text, question, asked)
            write_json(self.cell_path(test, path, row), cell)
        say(f"{path.stem} {row.name}: {len(missing)} replies, {time.monotonic() - begun:.0f} s")

    def outcomes(self, tests, rows):
        outcomes = answer_report.Outcomes()
        for test, path in tests:
            for row in rows:
                kept = self.cell(test, path, row)["replies"]
                for question in self.questions(test):
                    asked = self.answers.words(question)
                    if asked in kept:
                        outcomes.add(row.name, test, question, self.answers.of(question), kept[asked])
        return outcomes

    def show(self, tests, rows, n):
        for test, path in tests:
            kept = {row.name: self.cell(test, path, row)["replies"] for row in rows}
            print(f"===== {path.name}")
            replied = [q for q in self.questions(test) if any(self.answers.words(q) in said for said in kept.values())]
            for question in drawn(replied, n):
                asked, answer = self.answers.words(question), self.answers.of(question)
                print(f"\n{asked}\n  answer: {json.dumps(answer, ensure_ascii=False)}")
                for name, said in ((name, said[asked]) for name, said in kept.items() if asked in said):
                    right = "right" if judge.is_right(said["reply"], answer) else "WRONG"
                    missed = "" if gold.is_found(test.text, question, said["sources"]) else ", not gathered"
                    print(f"  {name}, {right}{missed}: {' '.join(said['reply'].split())}")

    def facts(self, tests, rows):
        lines = [f"Answered by {self.model}, {' '.join(replies.REPLY)}; reform {self.engine.version['version']}, "
                 f"binary {self.engine.version['sha256']}, commit {commit()}.", "", "| text | bytes | made of |", "|---|--:|---|"]
        for test, path in tests:
            made_of = ", ".join(f"{name} {version}" for name, version in test.versions.items())
            lines.append(f"| {path.stem} | {len(test.text):,} | {made_of} |")
        for row in rows:
            said = "; ".join(f"{verb} {' '.join(options) or '(defaults)'}" for verb, options in row.uses())
            lines += ["", f"`{row.name}`: {said}" + (f"; the prompt holds the question and {row.sees}" if row.sees in replies.PROMPTS else "")]
        return lines


def main():
    arguments = parse()
    tests = load_texts(arguments, fetch.Fetcher(arguments.work_dir / "downloads"))
    run, rows = Run(arguments), [replies.ROWS[name] for name in dict.fromkeys(arguments.rows)]
    if arguments.show is not None:
        run.show(tests, rows, arguments.show)
        return 0
    if not arguments.kept:
        fill(run, tests, rows, [run.engine.lacks(row.name, row.uses()) for row in rows])
    repeat = f"python3 bench/gather/answers.py --model models/{arguments.model.name} --size {arguments.size} "
    repeat += " ".join(f"--{name} {' '.join(getattr(arguments, name))}" for name in ("texts", "rows"))
    repeat += f" --questions {arguments.questions}" if arguments.questions is not None else ""
    text = answer_report.markdown(run.outcomes(tests, rows), arguments.rows, sets.SETS, BASE, WITHOUT_TEXT, run.facts(tests, rows),
                                  repeat)
    out = arguments.work_dir / f"answers-{arguments.size}k-{run.model}.md"
    out.write_text(text)
    print(text)
    print(f"written: {shown(out)}")
    return 0


if __name__ == "__main__":
    engine.run_script("answers", main)
