"""Rows of reform itself: a text is ingested once per model and way of ingesting, then all its questions are searched."""
import re
from dataclasses import dataclass


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
    Row("paper", ("--depth", "paper"), ("--gather-score", "paper")),
)}


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


def problem(engine, row):
    """Why the engine's binary cannot run the row; None if it can."""
    verb = "search" if engine.knows("search") or row.search else "ask"
    return engine.lacks(row.name, (("ingest", row.ingest), (verb, row.search)))


def gather(engine, row, name, test, budget):
    """{question's id: ranges}"""
    questions = asked(row.form, [" ".join(q["question"].split()) for q in test.questions])
    if engine.knows("search"):
        answers = engine.search(name, questions, ("--gather-tokens", budget, "--edge-tokens", 0, *row.search))
    else:
        options = ("-n", 0, "--gather-tokens", budget, "--edge-tokens", 1, *row.search)
        answers = [engine.ask(name, question, options) for question in questions]
    return {q["id"]: [[s["begin_byte"], s["end_byte"]] for s in answer["sources"] if s["kind"] != "edge"]
            for q, answer in zip(test.questions, answers)}
