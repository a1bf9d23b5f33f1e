"""Rows of answering: each says how the model comes to see what it answers from. A reply is one process of reform."""
from dataclasses import dataclass

from lib import prompt

REPLY = ("--temp", "0", "-n", "96")
# The prompt of `generate --chat` by what it holds beside the question: (text, question, the words asked) -> prompt.
PROMPTS = {"evidence": lambda text, question, asked: prompt.of_ranges(text, question["evidence"], asked), "nothing": lambda text, question, asked: asked}


@dataclass(frozen=True)
class Row:
    name: str
    ingest: tuple = ()  # options beyond model and store
    ask: tuple = ()
    sees: str = "passages"  # that `ask` gathers; or one of PROMPTS, without a context

    def uses(self):
        """The verbs with their options."""
        if self.sees in PROMPTS:
            return (("generate", ("--chat", *REPLY)),)
        return (("ingest", self.ingest), ("ask", (*self.ask, *REPLY)))


ROWS = {row.name: row for row in (
    Row("defaults"),
    Row("paper", ("--depth", "paper"), ("--gather-score", "paper", "--gather-tokens", "2048", "--edge-tokens", "256")),
    Row("late-512", (), ("--gather-tokens", "512", "--edge-tokens", "0")),
    Row("late-1024", (), ("--gather-tokens", "1024", "--edge-tokens", "0")),
    Row("late-2048", (), ("--gather-tokens", "2048", "--edge-tokens", "0")),
    Row("alone", sees="evidence"),
    Row("closed-book", sees="nothing"),
)}


def reply(engine, row, context, text, question, asked):
    """{reply, sources: what the model saw of the text, tokens: what it ran, seconds: without loading the model}"""
    if row.sees in PROMPTS:
        said = engine.generate(PROMPTS[row.sees](text, question, asked), REPLY)
        sources = sorted(question["evidence"]) if row.sees == "evidence" else []
        return {"reply": said["text"], "sources": sources, "tokens": said["timings"]["prompt_n"],
                "seconds": round(said["timings"]["total_ms"] / 1000, 3)}
    said = engine.ask(context, asked, (*row.ask, *REPLY))
    return {"reply": said["answer"], "sources": [[s["begin_byte"], s["end_byte"]] for s in said["sources"]],
            "tokens": said["recomputed_tokens"], "seconds": round(said["timings"]["total_ms"] / 1000, 3)}
