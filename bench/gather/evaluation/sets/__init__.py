"""The texts: a name, and the function that makes it from (fetcher, size_tokens). The questions' sets are named in the questions."""
from evaluation.sets import code, debianfaq, needles, paraphrase, perlfaq, pythonfaq, twohop

TEXTS = {
    "perlfaq": perlfaq.make,
    "pythonfaq": pythonfaq.make,
    "debianfaq": debianfaq.make,
    "code": code.make,
    "needles": needles.make,
    "twohop": twohop.make,
    "paraphrase": paraphrase.make,
}
SETS = ("perlfaq", "pythonfaq", "debianfaq", "several", "code", "needles", "twohop", "paraphrase")
