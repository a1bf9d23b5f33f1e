#!/usr/bin/env python3
"""Recall of scores made of window_scores.py's heads: of each head alone, of sets learned by depth, and of BM25.

A question is found within a budget if all its evidence lies in the best windows that fit. Sets are learned by logistic
regression (L1) with whole texts held out in turn, so no question is scored by weights that saw its text. Needs numpy and
scikit-learn.
"""
import argparse
import collections
import json
import math
import re
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

BUDGETS = (512, 1024, 2048, 4096)
N_FOLDS = 5
NEGATIVES = 150  # windows drawn for each question
RNG = np.random.default_rng(7)


class Data:
    def __init__(self, folder, stride):
        info = json.loads((folder / "info.json").read_text())
        self.scores = np.load(folder / "scores.npy", mmap_mode="r")
        self.heads = info["heads"] + ["lexical"]
        self.layers = np.array([int(re.match(r"[qkv](\d+)", h)[1]) for h in info["heads"]] + [0])
        self.gold = json.loads((folder / "gold.json").read_text())
        self.stride, self.n_layers = stride, int(self.layers.max()) + 1
        self.begin_bytes = np.array(info["begin_bytes"])
        self.text = (folder / "text.txt").read_bytes()
        self.questions = json.loads((folder / "questions.json").read_text())
        self.n_windows = self.scores.shape[1]
        # Strides that hold evidence, range by range.
        self.wanted = [[self.strides_of(*r) for r in g["ranges"]] for g in self.gold]
        groups = sorted({g["text"] for g in self.gold})
        order = {name: i for i, name in enumerate(RNG.permutation(groups))}
        self.fold = np.array([order[g["text"]] % N_FOLDS for g in self.gold])

    def strides_of(self, begin, end):
        first = np.searchsorted(self.begin_bytes, begin, "right") - 1
        last = np.searchsorted(self.begin_bytes, end - 1, "right") - 1
        return range(first // self.stride, last // self.stride + 1)

    def answers(self, question):
        """Windows that hold a whole range of evidence, or its beginning if none can."""
        found = []
        for strides in self.wanted[question]:
            begins = [w for w in (strides[-1] - 1, strides[0]) if 0 <= w <= strides[0] and w + 2 > strides[-1]]
            found += begins or [strides[0]]
        return sorted(set(found))


def budget_of(data, question, scores):
    """Tokens of the best windows until all evidence is among them."""
    wanted = {s for strides in data.wanted[question] for s in strides}
    taken = set()
    for window in np.argsort(-scores, kind="stable"):
        strides = {window, window + 1}
        taken |= strides
        wanted -= strides
        if not wanted:
            return len(taken) * data.stride
    return math.inf


def bm25(data, k1=1.2, b=.75):
    def words(text):
        return re.findall(r"\w+", text.decode(errors="replace").lower())
    ends = [*data.begin_bytes[data.stride::data.stride], len(data.text)]
    starts = [*data.begin_bytes[::data.stride]]
    windows = [collections.Counter(words(data.text[starts[i]:ends[min(i + 1, len(ends) - 1)]])) for i in range(data.n_windows)]
    lengths = np.array([sum(w.values()) for w in windows])
    norms = k1 * (1 - b + b * lengths / lengths.mean())
    holders = collections.defaultdict(list)
    for i, window in enumerate(windows):
        for word, n in window.items():
            holders[word].append((i, n))
    result = np.zeros((len(data.questions), data.n_windows))
    for q, question in enumerate(data.questions):
        for word in words(question.encode()):
            found = holders.get(word, [])
            rarity = math.log(1 + (data.n_windows - len(found) + .5) / (len(found) + .5))
            for i, n in found:
                result[q, i] += rarity * n * (k1 + 1) / (n + norms[i])
    return result


class Learner:
    """Standardised scores of the chosen heads; weights are learned on some questions and score others."""

    def __init__(self, data, heads):
        self.data, self.heads = data, heads
        sample = np.asarray(data.scores[heads][:, :, ::7], np.float32)
        self.spread = sample.std(1).mean(1) + 1e-6

    def features(self, question):
        """[n_windows, n_heads]"""
        scores = np.asarray(self.data.scores[self.heads, :, question], np.float32)
        return ((scores - scores.mean(1, keepdims=True)) / self.spread[:, None]).T

    def learn(self, questions, c):
        xs, ys, ws = [], [], []
        for q in questions:
            x, right = self.features(q), self.data.answers(q)
            near = {w + d for w in right for d in (-1, 0, 1)}
            hard = np.argsort(-x.mean(1))[:NEGATIVES // 2]
            wrong = [w for w in {*hard, *RNG.integers(0, self.data.n_windows, NEGATIVES)} if w not in near]
            xs += [x[right], x[wrong]]
            ys += [1] * len(right) + [0] * len(wrong)
            ws += [1 / len(right)] * len(right) + [1 / len(wrong)] * len(wrong)
        model = LogisticRegression(l1_ratio=1, C=c, solver="liblinear", max_iter=300)
        model.fit(np.concatenate(xs), ys, sample_weight=np.array(ws))
        return model.coef_[0]


def recalls(data, budgets_needed, keep=lambda gold: True):
    chosen = [b for b, g in zip(budgets_needed, data.gold) if keep(g)]
    return [np.mean([b <= budget for b in chosen]) for budget in BUDGETS]


def show(name, data, needed):
    kinds = [recalls(data, needed, lambda g, k=k: g["kind"] == k)[1] for k in ("single", "paraphrase", "time", "several")]
    print(f"{name:34}" + "".join(f"{r:7.3f}" for r in recalls(data, needed)) + "  |" + "".join(f"{r:7.3f}" for r in kinds), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--stride", type=int, default=32)
    parser.add_argument("--c", type=float, nargs="+", default=[.1, .5])
    parser.add_argument("--best", type=int, default=15, help="so many single heads are shown")
    arguments = parser.parse_args()
    data = Data(arguments.dir, arguments.stride)
    everyone = range(len(data.gold))
    print(f"{len(everyone)} questions, {len(data.begin_bytes):,} tokens; found within {BUDGETS}; by kind at {BUDGETS[1]}: "
          "single, paraphrase, time, several")
    lexical = bm25(data)
    show("BM25", data, [budget_of(data, q, lexical[q]) for q in everyone])
    sample = [q for q in everyone if q % 3 == 0]
    alone = {}
    for h in range(len(data.heads)):
        of_head = np.asarray(data.scores[h], np.float32)
        alone[h] = np.mean([budget_of(data, q, of_head[:, q]) <= BUDGETS[1] for q in sample])
    for h in sorted(alone, key=alone.get, reverse=True)[:arguments.best]:
        of_head = np.asarray(data.scores[h], np.float32)
        show(data.heads[h], data, [budget_of(data, q, of_head[:, q]) for q in everyone])
    for depth in (.3, .6, 1.0):
        heads = [h for h in range(len(data.heads)) if data.layers[h] < depth * data.n_layers]
        learner = Learner(data, heads)
        for c in arguments.c:
            needed, n_heads = [math.inf] * len(everyone), []
            for fold in range(N_FOLDS):
                weights = learner.learn([q for q in everyone if data.fold[q] != fold], c)
                n_heads.append(np.count_nonzero(weights))
                for q in everyone:
                    if data.fold[q] == fold:
                        needed[q] = budget_of(data, q, learner.features(q) @ weights)
            show(f"learned, depth {depth:.0%}, C {c}, {np.mean(n_heads):.0f} heads", data, needed)
            largest = sorted(zip(np.abs(weights), weights, heads), reverse=True)[:12]
            print("   ", " ".join(f"{data.heads[h]}:{w:+.2f}" for _, w, h in largest if w), flush=True)


if __name__ == "__main__":
    main()
