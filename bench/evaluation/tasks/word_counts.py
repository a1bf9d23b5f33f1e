"""Common and frequent words: RULER's two tasks of aggregation (arXiv 2404.06654, section 3 and appendix B).

The paper: in a numbered list, ten words occur thirty times each and all others three times; the ten are asked for. In a text of
coded words whose frequencies follow a zeta distribution (exponent 2), the three most frequent are asked for; the very first is a row
of dots and does not count. Ours: the same; the list's words are drawn from English books, coded words are letters drawn. In lists
too short for that, the ten words occur ten times and all others once; where English has too few words, all occur more often. Each
question has a text of its own. The evidence is every occurrence of the words asked for, so hardly any choice of passages has all of
it: these tasks are here to show that limit.
"""
from collections import Counter

from lib.test_text import Builder
from tasks.task import Task
from tasks.words import Words

N_COMMON = 10
SELDOM, TIMES_MORE = 3, 10
SHORT_BYTES = 10_000  # below, a list cannot hold ten words thirty times among three times as many others
ITEM_BYTES = 7  # of a number and its spacing, about
N_FREQUENT = 3
CODED_LETTERS = 6
VOCABULARY = 2_000
DOTS = "..."


def occurrences(pieces, wanted):
    """(text, ranges of the pieces whose word is wanted); pieces are (before, word, after)."""
    builder, ranges = Builder(), []
    for before, word, after in pieces:
        builder.add(before)
        at = builder.add(word)
        builder.add(after)
        if word in wanted:
            ranges.append(at)
    return builder.text(), ranges


def numbered_list(common, others, often, seldom, rng):
    words = common * often + others * seldom
    rng.shuffle(words)
    return [(f"{i + 1}. ", word, "\n") for i, word in enumerate(words)]


def make_common(sources, size_bytes, rng, _):
    words = rng.sample(sources.words(), len(sources.words()))
    all_bytes = sum(len(word) + ITEM_BYTES for word in words)
    seldom = 1 if size_bytes < SHORT_BYTES else max(SELDOM, -(-size_bytes // all_bytes))
    often = seldom * TIMES_MORE
    common, others, total = words[:N_COMMON], [], sum(often * (len(w) + ITEM_BYTES) for w in words[:N_COMMON])
    for word in words[N_COMMON:]:
        if total >= size_bytes:
            break
        others.append(word)
        total += seldom * (len(word) + ITEM_BYTES)
    text, ranges = occurrences(numbered_list(common, others, often, seldom, rng), set(common))
    return text, [{"question": f"What are the {N_COMMON} most common words in the list?", "evidence": ranges, "answers": common}]


def make_frequent(_, size_bytes, rng, __):
    words = Words(rng)
    vocabulary = [DOTS] + [words.letters(CODED_LETTERS, "abcdefghijklmnopqrstuvwxyz") for _ in range(VOCABULARY - 1)]
    weights = [rank ** -2 for rank in range(1, VOCABULARY + 1)]
    mean_bytes = sum(w * (len(v) + 1) for v, w in zip(vocabulary, weights)) / sum(weights)
    n_words = int(size_bytes / mean_bytes)
    while True:
        drawn = rng.choices(vocabulary, weights, k=n_words)
        ranked = Counter(w for w in drawn if w != DOTS).most_common(N_FREQUENT + 1)
        if len(ranked) > N_FREQUENT and ranked[-2][1] > ranked[-1][1]:  # no tie at the border
            break
    frequent = [word for word, _ in ranked[:N_FREQUENT]]
    text, ranges = occurrences([("", word, "\n" if i % 20 == 19 else " ") for i, word in enumerate(drawn)], set(frequent))
    return text, [{"question": f"Which {N_FREQUENT} coded words are the most frequent in the text? The dots ({DOTS}) do not count.",
                   "evidence": ranges, "answers": frequent}]


TASKS = [Task("common_words", "ruler", make_common, "all", 96), Task("frequent_words", "ruler", make_frequent, "all", 64)]
