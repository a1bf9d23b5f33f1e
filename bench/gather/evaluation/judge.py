"""Whether a reply is right: by keywords that a person wrote, in answers.json. The form is that of heads/samples.

An answer is a list of alternatives, one of which is enough. An alternative is a keyword, or a list of keywords that must all
occur. lib/keywords.py says when a keyword occurs.
"""
import json
from pathlib import Path

from lib.keywords import STEM, is_right, plain, stands_in  # noqa: F401 (the tests' too)

ANSWERS = Path(__file__).with_name("answers.json")


class Answers:
    """The answers by set and question, and the words in which a set's questions are asked."""

    def __init__(self, path=ANSWERS):
        kept = json.loads(path.read_text(encoding="utf-8"))
        self.asked, self.answers = kept["asked"], kept["answers"]

    def of(self, question):
        """None if there is no short answer to a test set's question."""
        return self.answers.get(question["set"], {}).get(question["question"])

    def words(self, question):
        return " ".join(self.asked.get(question["set"], "{}").format(question["question"]).split())
