"""From a docstring to its function, in the sources of well-known packages: the question is the docstring's first sentence.

The asked functions lose their docstrings, the others keep theirs, as in code that is partly documented.
"""
import random
import re

from lib.python_modules import PACKAGES, functions, in_turn, modules
from lib.test_text import Builder, TestText

BYTES_PER_TOKEN = 3.8
MOST_QUESTIONS = 120
OF_A_MODULE = 10  # questions at most


def plain(text):
    return re.sub(r"[\W_]+", " ", text.lower())


def asked_of(source, everything, rng):
    """Some of a module's functions, in order: none within another, none whose question stands in any other place."""
    chosen, candidates = [], functions(source)
    rng.shuffle(candidates)
    for function in candidates:
        apart = all(other[3] < function[0] or function[3] < other[0] for other in chosen)
        if len(chosen) < OF_A_MODULE and apart and everything.count(plain(function[4]).strip()) == 1:
            chosen.append(function)
    return sorted(chosen)


def make(fetcher, size_tokens):
    size_bytes = int(size_tokens * BYTES_PER_TOKEN)
    rng = random.Random(f"code {size_bytes}")
    found = modules(fetcher)
    everything = plain("\n".join(source for _, _, source in found))
    builder, questions = Builder(), []
    for _, name, source in in_turn(found, rng):
        if builder.size_bytes + len(source.encode()) > 1.05 * size_bytes:
            continue
        lines, at = source.splitlines(keepends=True), 0
        builder.add(f"# {name}\n\n")
        for begin, doc_begin, doc_end, end, sentence in asked_of(source, everything, rng):
            builder.add("".join(lines[at:begin - 1]))
            evidence = builder.add("".join(lines[begin - 1:doc_begin - 1] + lines[doc_end:end]))
            questions.append({"id": f"code-{len(questions)}", "set": "code", "kind": "docstring", "question": sentence,
                              "evidence": [evidence]})
            at = end
        builder.add("".join(lines[at:]) + "\n\n")
    questions = rng.sample(questions, min(MOST_QUESTIONS, len(questions)))
    return TestText("code", builder.text(), sorted(questions, key=lambda q: q["evidence"]), fetcher.versions_of(*PACKAGES))
