"""A cell: one method's replies about one task at one length. A JSON file, written after each reply, so a stopped run goes on."""
import json
from dataclasses import dataclass

from harness.rows import ROWS, chosen, reply
from lib.engine import context_name, reform_cli
from lib.files import commit, say, sha256, write_json
from tasks import TASKS

PAST_WINDOW = "pass the model's window"  # as `ask` and `generate` say it


@dataclass(frozen=True)
class Cell:
    task: str
    tokens: int  # of each text
    seed: int
    row: str
    budget: int  # tokens of the text that the row may take; 0 if it has none
    per_text: int  # questions on one text

    def __str__(self):
        return f"{self.task} {self.tokens} {self.row}" + (f" {self.budget}" if self.budget else "")


def n_texts(cell, n_questions):
    """So many texts are asked at least so many questions."""
    return -(-n_questions // cell.per_text)


def question_key(question):
    return sha256([question["question"], question["evidence"]])


class Cells:
    """The cells of one model and one binary in a folder."""

    def __init__(self, folder, texts, engine, baselines, model_key, n_questions, store_options):
        self.folder, self.texts, self.engine, self.baselines = folder, texts, engine, baselines
        self.model_key, self.n_questions, self.store_options = model_key, n_questions, store_options
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, cell):
        row = ROWS[cell.row]
        key = [self.model_key, cell.per_text, row.uses(cell.budget, TASKS[cell.task].reply_tokens), row.sees, self.engine.version]
        return self.folder / f"{cell.task}_{cell.tokens}_seed{cell.seed}_{cell.row}_{cell.budget}_{sha256(key)}.json"

    def read(self, cell):
        """replies: {the text's hash: {a question's key: what rows.reply() gives}}, reading: {the text's hash: what the ingest took}"""
        path = self.path(cell)
        if path.exists():
            try:
                return json.loads(path.read_text())
            except ValueError as error:
                raise ValueError(f"{path} is damaged ({error}): remove it, and its replies are made anew") from error
        return {"cell": vars(cell), "model": self.model_key, "binary": self.engine.version, "versions": {},
                "options": ROWS[cell.row].uses(cell.budget, TASKS[cell.task].reply_tokens), "replies": {}, "reading": {}}

    def tests(self, cell):
        """The texts that are there: [TestText or None]"""
        return [self.texts.kept(cell, i) for i in range(n_texts(cell, self.n_questions))]

    def replied(self, cell, kept):
        """The texts that have replies, as a cell is filled in their order; made anew if the code that makes them has changed."""
        return [self.texts.get(cell, i)[0] for i in range(min(n_texts(cell, self.n_questions), len(kept["replies"])))]

    def missing(self, cell):
        """Replies yet to be made; a text that is not there counts with the questions it will have."""
        kept, total = self.read(cell), 0
        for test in self.tests(cell):
            if test is None:
                total += cell.per_text
            else:
                there = kept["replies"].get(sha256(test.text), {})
                total += sum(question_key(q) not in there for q in test.questions)
        return 0 if "refused" in kept else total

    def fill(self, cell):
        """All replies of a cell. One whose prompt would pass the model's window is kept as refused."""
        kept = {**self.read(cell), "commit": commit()}
        try:
            for i in range(n_texts(cell, self.n_questions)):
                self.fill_text(cell, kept, *self.texts.get(cell, i))
        except reform_cli.CommandFailed as error:
            if PAST_WINDOW not in str(error):
                raise
            kept["refused"] = str(error).rsplit('"message":', 1)[-1]
            write_json(self.path(cell), kept)
            say(f"{cell}: the prompt is longer than the model's window")

    def fill_text(self, cell, kept, test, path):
        text_key = sha256(test.text)
        replies = kept["replies"].setdefault(text_key, {})
        missing = [q for q in test.questions if question_key(q) not in replies]
        if not missing:
            return
        row, context = ROWS[cell.row], None
        if row.sees == "ask":
            context, kept["reading"][text_key] = self.ingest(row, test, path)
        tokens_per_byte = self.texts.tokens_of(test.text) / len(test.text)

        def choose(question):
            return chosen(row, test, question, cell.budget, tokens_per_byte, self.baselines)

        for question in missing:
            replies[question_key(question)] = reply(self.engine, row, context, test, question, cell.budget,
                                                    TASKS[cell.task].reply_tokens, choose)
            kept["versions"] |= test.versions
            write_json(self.path(cell), kept)

    def ingest(self, row, test, path):
        """(the context's name, {tokens, ms, peak_bytes} of reading it, kept from when it was read)"""
        kept = self.folder.parent / "reading" / f"{context_name(test.text, row.ingest)}-{self.model_key}-{sha256(self.engine.version)}.json"
        name, report = self.engine.ingest(path, test.text, row.ingest, self.store_options)
        if report["outcome"] == "ingested" or not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, {"tokens": report["tokens_run"], "ms": round(report["timings"]["total_ms"], 1),
                              "peak_bytes": report["memory_bytes"]["peak_host"]})
        return name, json.loads(kept.read_text())
