"""Whether a reply is right: by keywords that a person wrote, in answers.json. The form is that of heads/samples, with two rules more.

An answer is a list of alternatives, one of which is enough. An alternative is a keyword, or a list of keywords that must all
occur. Letter case does not matter. A keyword counts as a whole word, so that "2" does not pass in "12" and "ten" not in "often";
one that ends in "~" is the beginning of a word.
"""
import json
import re
import unicodedata
from pathlib import Path

ANSWERS = Path(__file__).with_name("answers.json")
STEM = "~"
TYPOGRAPHY = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-", "—": "-"})


def plain(text):
    """Without letter case, typography and the commas of large numbers; white space is one space."""
    text = unicodedata.normalize("NFKC", text).translate(TYPOGRAPHY).casefold()
    return " ".join(re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text).split())


def stands_in(keyword, plain_text):
    word = plain(keyword.removesuffix(STEM))
    before = after = ""
    if re.match(r"\w", word):
        before = r"(?<!\w)(?<!\d[.,])" if word[0].isdigit() else r"(?<!\w)"
    if word[-1].isdigit():
        after = r"(?!\d)(?![.,]\d)"  # a unit may follow at once, as in "3m"
    elif re.match(r"\w", word[-1]) and not keyword.endswith(STEM):
        after = r"(?!\w)"
    return re.search(before + re.escape(word) + after, plain_text) is not None


def is_right(reply, answer):
    text = plain(reply)
    return any(all(stands_in(keyword, text) for keyword in ([entry] if isinstance(entry, str) else entry)) for entry in answer)


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
