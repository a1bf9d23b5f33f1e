"""What a task is, and a text of it with a given length in tokens.

A question is a dict: question (the words asked), evidence ([[begin_byte, end_byte], ...] in the text), answers (a list of strings,
read by the task's score), and for some scores more: `labels`.
"""
import random
from dataclasses import dataclass
from typing import Callable

from lib.test_text import TestText

CLOSE_ENOUGH = 0.02  # of the length asked for
MOST_TRIES = 5
BYTES_PER_TOKEN = 4.0  # to begin with; always the same, so that a seed gives the same text whatever was made before


@dataclass(frozen=True)
class Task:
    """make(sources, size_bytes, rng, n_questions) -> (text, questions), a text of about that size.

    It has so many questions, or fewer if a text so short has no room for them.
    """
    name: str
    family: str
    make: Callable
    score: str  # of harness/scoring.py
    reply_tokens: int
    per_text: int = 1  # questions that one text is asked at most; 1 where the definition gives each question a text of its own


def fitted(make, n_tokens, count_tokens):
    """What make(size_bytes) gives for the size at which its text has so many tokens, within two percent if that can be."""
    size, best = n_tokens * BYTES_PER_TOKEN, None
    for _ in range(MOST_TRIES):
        made = make(int(size))
        counted = count_tokens(made[0])
        error = abs(counted - n_tokens) / n_tokens
        if best is None or error < best[0]:
            best = (error, made)
        if error <= CLOSE_ENOUGH:
            break
        size *= n_tokens / counted
    return best[1]


def text_of(task, sources, n_tokens, seed, index, count_tokens, n_questions=None):
    """The text number `index` of a task and a seed, as a TestText."""
    n = n_questions or task.per_text

    def make(size_bytes):
        return task.make(sources, size_bytes, random.Random(f"{task.name} {seed} {index}"), n)

    text, questions = fitted(make, n_tokens, count_tokens)
    for i, question in enumerate(questions):
        question.update(id=f"{task.name}-{seed}-{index}-{i}", set=task.name)
    return TestText(task.name, text, questions, dict(sources.versions))
