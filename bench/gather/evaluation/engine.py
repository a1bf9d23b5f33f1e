"""Rows of reform itself: a text is ingested once per model and way of ingesting, then all its questions are searched."""
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from evaluation.paths import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import reform_cli  # noqa: E402


@dataclass(frozen=True)
class Row:
    name: str
    ingest: tuple = ()  # options beyond model and store
    search: tuple = ()
    form: str = "{question}"  # what is asked: see asked()


BALANCED = (("--depth", "balanced"), ("--gather-score", "late", "--rounds", "1"))
ROWS = {row.name: row for row in (
    Row("defaults"),
    Row("late-fast", ("--depth", "fast"), ("--gather-score", "late", "--rounds", "1")),
    Row("late-balanced", *BALANCED),
    Row("late-deep", ("--depth", "deep"), ("--gather-score", "late", "--rounds", "1")),
    Row("form-answer", *BALANCED, "{question} Answer:"),
    Row("form-statement", *BALANCED, "{statement}"),
    Row("form-turn-before", *BALANCED, "{before} {question}"),
    Row("late-fast-2", ("--depth", "fast"), ("--gather-score", "late", "--rounds", "2")),
    Row("late-balanced-2", ("--depth", "balanced"), ("--gather-score", "late", "--rounds", "2")),
    Row("paper", ("--depth", "paper"), ("--gather-score", "paper", "--rounds", "1")),
)}
SECONDS_PER_TEXT = 6 * 3600
SECONDS_PER_REPLY = 3600


def statement(question):
    """"Where is the key kept?" -> "the key kept is": its words in the order in which a text would have them, roughly."""
    parts = re.fullmatch(r"(?i)(?:what|where|who|when|why|how|which)(?: \w+)?? (is|are|was|were|do|does|did|can|should) (.+?)[ ?]*", question)
    if parts is None:
        return question.rstrip(" ?")
    verb, rest = parts.groups()
    return f"{rest} {verb}" if verb.lower() in ("is", "are", "was", "were") else rest


def asked(form, questions):
    """The questions in a form: {question}, {statement}, and {before}, which is the set's question before it."""
    return [form.format(question=q, statement=statement(q), before=before) for q, before in zip(questions, questions[-1:] + questions)]


def context_name(text, options):
    return "t" + hashlib.sha256(text + "\0".join(options).encode()).hexdigest()[:16]


class Engine:
    def __init__(self, binary, model, store, threads):
        self.binary, self.model, self.store = binary, model, store
        self.threads = () if threads is None else ("--threads", threads)
        raw = binary.read_bytes()
        self.version = {**reform_cli.run("--version", binary=binary), "sha256": hashlib.sha256(raw).hexdigest()[:12]}
        self.help = {}

    def knows(self, verb, *options):
        """Whether the binary has the verb and these options, by its own help."""
        if verb not in self.help:
            done = subprocess.run([str(self.binary), verb, "--help"], capture_output=True, text=True)
            self.help[verb] = done.stdout.split() if done.returncode == 0 and f"reform {verb} " in done.stdout else None
        said = self.help[verb]
        return said is not None and all(any(w.split("=")[0].split(",")[-1] == o for w in said) for o in options if o.startswith("--"))

    def problem(self, row):
        """Why this binary cannot run the row; None if it can."""
        verb = "search" if self.knows("search") or row.search else "ask"
        return self.lacks(row.name, (("ingest", row.ingest), (verb, row.search)))

    def lacks(self, row_name, uses):
        """What this binary does not have of `uses`, pairs of a verb and its options; None if it has everything."""
        for what, options in uses:
            if not self.knows(what):
                return f"row {row_name} needs `reform {what}`, which {self.binary} does not have"
            missing = [o for o in options if o.startswith("--") and not self.knows(what, o)]
            if missing:
                return f"row {row_name} needs `reform {what} {missing[0]}`, which {self.binary} does not have"
        return None

    def count_tokens(self, path):
        """Of the model in a text: an ingest with a head of the first layer ends there, so it takes a second."""
        with tempfile.TemporaryDirectory() as folder:
            heads = Path(folder) / "heads.json"
            heads.write_text('{"heads": ["v0.0"]}')
            read = reform_cli.run("ingest", "count", path, "--model", self.model, "--store", Path(folder) / "store",
                                  "--heads", heads, *self.threads, binary=self.binary, timeout_s=SECONDS_PER_TEXT)
        return read["context"]["n_tokens"]

    def ingest(self, path, text, row):
        """The context's name; the same text is not read twice, and a stopped ingest goes on."""
        name = context_name(text, row.ingest)
        self.store.parent.mkdir(parents=True, exist_ok=True)
        reform_cli.run("ingest", name, path, "--model", self.model, "--store", self.store, *row.ingest, *self.threads,
                       binary=self.binary, show_progress=sys.stderr.isatty(), timeout_s=SECONDS_PER_TEXT)
        return name

    def gather(self, row, name, test, budget):
        """{question's id: ranges}"""
        questions = asked(row.form, [" ".join(q["question"].split()) for q in test.questions])
        answers = (self.search if self.knows("search") else self.ask_each)(row, name, questions, budget)
        return {q["id"]: [[s["begin_byte"], s["end_byte"]] for s in answer["sources"] if s["kind"] != "edge"]
                for q, answer in zip(test.questions, answers)}

    def search(self, row, name, questions, budget):
        file = self.store.parent / "questions.txt"
        file.write_text("".join(q + "\n" for q in questions))
        command = [self.binary, "search", name, "--file", file, "--json", "--store", self.store, "--gather-tokens", budget,
                   "--edge-tokens", 0, *row.search, *self.threads]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        if done.returncode != 0 or len(answers) != len(questions):
            said = " ".join(done.stderr.split("\n")[-3:])
            raise reform_cli.CommandFailed(f"{' '.join(map(str, command))}: exit status {done.returncode}, {len(answers)} answers to "
                                           f"{len(questions)} questions: {said}")
        return answers

    def ask_each(self, row, name, questions, budget):
        """For a binary without `search`."""
        options = ("-n", 0, "--gather-tokens", budget, "--edge-tokens", 1, *row.search)
        return [self.ask(name, question, options) for question in questions]

    def ask(self, name, question, options):
        return reform_cli.run("ask", "--store", self.store, *options, *self.threads, name, question, binary=self.binary,
                              timeout_s=SECONDS_PER_REPLY)

    def generate(self, prompt, options):
        """With the model's chat template, without a context."""
        return reform_cli.run("generate", "--chat", "--model", self.model, *options, *self.threads, prompt, binary=self.binary,
                              timeout_s=SECONDS_PER_REPLY)
