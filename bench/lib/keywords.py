"""Whether keywords occur in a reply.

Letter case does not matter. A keyword counts as a whole word, so that "2" does not pass in "12" and "ten" not in "often"; one that
ends in "~" is the beginning of a word.
"""
import re
import unicodedata

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
