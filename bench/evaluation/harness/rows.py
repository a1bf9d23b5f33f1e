"""The methods that are compared: a table. A row is options of `ingest` and of `ask`, or what a prompt of `generate` holds.

A binary that does not know an option of a row is refused by name (lib/engine.py). The rows without a context put passages into the
words that `ask` would use (lib/prompt.py), and the same model answers: so they differ from `ask` in what was chosen only.
"""
from dataclasses import dataclass

from lib import prompt

DEFAULT = 0  # as budget: the method's own


@dataclass(frozen=True)
class Row:
    name: str
    ingest: tuple = ()  # options beyond model and store
    ask: tuple = ()
    sees: str = "ask"  # what the model sees: what `ask` gathers, or one of CHOSEN
    budgeted: bool = True  # whether it takes so many tokens of the text; else it has one cell for all budgets
    worth: float = 1  # of a cell, beside those of other rows

    def options(self, budget, reply_tokens):
        """Of ask or generate."""
        reply = ("--temp", "0", "-n", str(reply_tokens))
        if self.sees != "ask":
            return reply
        return (*self.ask, *(("--gather-tokens", str(budget)) if self.budgeted and budget != DEFAULT else ()), *reply)

    def uses(self, budget, reply_tokens):
        """The verbs with their options: what the binary must know."""
        options = self.options(budget, reply_tokens)
        if self.sees != "ask":
            return (("generate", ("--chat", "--file", *options)),)
        return (("ingest", self.ingest), ("ask", options))


CHOSEN = ("full", "evidence", "nothing", "bm25", "dense", "random")  # what a prompt of `generate` may hold of the text
ROWS = {row.name: row for row in (
    Row("reform", worth=4),
    Row("full", sees="full", budgeted=False, worth=4),
    Row("bm25", sees="bm25", worth=3),
    Row("dense", sees="dense", worth=2),
    Row("evidence", sees="evidence", budgeted=False, worth=2),
    Row("nothing", sees="nothing", budgeted=False),
    Row("random", sees="random"),
    Row("fast", ingest=("--depth", "fast")),
    Row("deep", ingest=("--depth", "deep")),
    Row("one-round", ask=("--rounds", "1")),
    Row("paper", ingest=("--depth", "paper"), ask=("--gather-score", "paper")),
    Row("policy-none", ingest=("--policy", "none")),
    Row("policy-recent", ingest=("--policy", "recent")),
    Row("first", ask=("--method", "first")),
    Row("last", ask=("--method", "last")),
    Row("oprm", ask=("--method", "oprm"), budgeted=False),
    Row("oprm-all", ask=("--method", "oprm", "--all-chunks"), budgeted=False),
    Row("oprm-random", ask=("--method", "oprm-random"), budgeted=False),
    Row("pages", ("--pages",), ("--method", "pages")),
    Row("pages-recompute", ("--pages",), ("--method", "pages-recompute")),
    *(Row(f"carry-{policy}", ("--full-depth", "--policy", policy), ("--method", "carry"), budgeted=False)
      for policy in ("h2o", "recent", "tova", "zsmerge", "cascade", "none")),
)}


def chosen(row, test, question, budget, tokens_per_byte, baselines):
    """The ranges of the text that the prompt of a row without a context holds."""
    if row.sees == "full":
        return [[0, len(test.text)]]
    if row.sees == "evidence":
        return sorted(question["evidence"])
    if row.sees == "nothing":
        return []
    return baselines.gather(row.sees, test, tokens_per_byte, [budget])[budget][question["id"]]


def reply(engine, row, context, test, question, budget, reply_tokens, choose):
    """{reply, sources: what the model saw of the text, tokens: what it ran, ms: without loading the model, peak_bytes}"""
    options = row.options(budget, reply_tokens)
    asked = question["question"]
    if row.sees == "ask":
        said = engine.ask(context, asked, options)
        ranges, text, tokens = [[s["begin_byte"], s["end_byte"]] for s in said["sources"]], said["answer"], said["recomputed_tokens"]
    else:
        ranges = choose(question)
        said = engine.generate(prompt.of_ranges(test.text, ranges, asked), options)
        text, tokens = said["text"], said["timings"]["prompt_n"]
    return {"reply": text, "sources": ranges, "tokens": tokens, "ms": round(said["timings"]["total_ms"], 1),
            "peak_bytes": said["memory_bytes"]["peak_host"]}
