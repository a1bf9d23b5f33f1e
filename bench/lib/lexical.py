"""BM25 with k1 1.2 and b 0.75 over words in lower case."""
import collections
import math
import re

import numpy as np


def words(text):
    return re.findall(r"\w+", text.lower())


def scores(texts, questions, k1=1.2, b=.75):
    """[n_questions, n_texts]"""
    bags = [collections.Counter(words(text)) for text in texts]
    lengths = np.array([sum(bag.values()) for bag in bags])
    norms = k1 * (1 - b + b * lengths / lengths.mean())
    holders = collections.defaultdict(list)
    for i, bag in enumerate(bags):
        for word, n in bag.items():
            holders[word].append((i, n))
    result = np.zeros((len(questions), len(texts)))
    for q, question in enumerate(questions):
        for word in words(question):
            found = holders.get(word, [])
            rarity = math.log(1 + (len(texts) - len(found) + .5) / (len(found) + .5))
            for i, n in found:
                result[q, i] += rarity * n * (k1 + 1) / (n + norms[i])
    return result
