"""How a reply is scored, in [0, 1], by a question's answers. A keyword is a whole word (lib/keywords.py), unlike in RULER's and
InfiniteBench's own scripts, where 12 passes in 123.
"""
import difflib
import re

from lib.keywords import is_right, plain, stands_in


def share(reply, question):
    """RULER: the share of the answers that the reply contains."""
    text = plain(reply)
    return sum(stands_in(answer, text) for answer in question["answers"]) / len(question["answers"])


def some(reply, question):
    """RULER's question answering: any of the answers is contained."""
    return float(is_right(reply, question["answers"]))


def words_of(reply, labels):
    text = plain(reply)
    return {label for label in labels if stands_in(label, text)}


def label(reply, question):
    """BABILong: of the task's labels that the question does not name, the reply's first sentence has the answer and no other."""
    first = re.split(r"(?<=[.!?])\s|\n", reply.strip(), maxsplit=1)[0]
    asked = words_of(question["question"], question["labels"]) - set(question["answers"])
    return float(words_of(first, question["labels"]) - asked == set(question["answers"]))


def choice(reply, question):
    """Of the choices offered, the reply names the right one and no other."""
    return float(words_of(reply, question["labels"]) == set(question["answers"]))


def first_line(reply):
    """Of the code in a reply, without the marks of a code block."""
    lines = [line.strip() for line in reply.splitlines()]
    return next((line.strip("`") for line in lines if line and not line.startswith("```")), "")


def edit_similarity(reply, question):
    """RepoEval: how like the line is to the reply's first one, by the longest matching blocks (Ratcliff and Obershelp)."""
    return difflib.SequenceMatcher(None, first_line(reply), question["answers"][0].strip(), autojunk=False).ratio()


def exact(reply, question):
    """RepoEval's exact match, but for white space around the line."""
    return float(first_line(reply) == question["answers"][0].strip())


SCORES = {"all": share, "any": some, "label": label, "choice": choice, "edit": edit_similarity}
