#!/usr/bin/env python3
"""Golden data of the methods pages and pages-recompute by their plain form, which is here: numpy, float64, no kernels.

    scripts/make_pages_golden.py        writes tests/golden/pages_tiny_qwen2.bin

The tiny model reads seeded token ids in chunks, all layers, with H2O (arXiv 2306.14048) between chunks. Each page of a chunk's
tokens keeps its keys (before RoPE), values and mean key. A question chooses pages once for all layers by
    score of page b = sum over tokens of the mean over layers and heads of softmax_b(q . mean key of b / sqrt(d))
with q before RoPE, inside words that stand around it, behind the text's cache. The first and the last page are always taken.
The answer's first logits are those of the words and the question behind the pages' keys and values.

The file is one line of JSON (what was run, and the arrays in order with their shapes), then the arrays as little-endian
float32 or int32. Needs: numpy, gguf.
"""
import json
import math
import pathlib

import numpy as np
from gguf import GGUFReader, dequantize

GOLDEN = pathlib.Path(__file__).parent.parent / "tests/golden"
N_TEXT, CHUNK, CACHE, SINKS, PAGE, BUDGET = 1000, 150, 120, 4, 32, 192
N_QUESTIONS, BEFORE, BEHIND = 100, 4, 3  # tokens of the words around a question


class Model:
    """A Qwen2 from a GGUF file. H query heads, G key/value heads, L layers, d head size."""

    def __init__(self, path):
        reader = GGUFReader(path)
        value = lambda name: reader.fields["qwen2." + name].contents()
        self.w = {t.name: dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}
        self.L, self.H, self.G = value("block_count"), value("attention.head_count"), value("attention.head_count_kv")
        self.d, self.eps = value("embedding_length") // self.H, value("attention.layer_norm_rms_epsilon")
        self.inv_freq = value("rope.freq_base") ** -(np.arange(0, self.d, 2) / self.d)

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.w[name + ".weight"]

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w.get(name + ".bias", 0)

    def rope(self, x, first):
        """x [heads, T, d], the first row at slot `first`."""
        angle = (first + np.arange(x.shape[1]))[:, None] * self.inv_freq
        a, b = x[..., : self.d // 2], x[..., self.d // 2:]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)

    def run(self, ids, cache):
        """Appends ids [T] to cache, for each layer a dict k, v [G, N, d] (k before RoPE) and received [N].
        Returns (logits of the last token, for each layer q [H, T, d], k, v [G, T, d] before RoPE)."""
        x, states, T = self.w["token_embd.weight"][ids], [], len(ids)
        for l, c in enumerate(cache):
            y = self.norm(x, f"blk.{l}.attn_norm")
            q, k, v = (self.linear(y, f"blk.{l}.attn_{n}").reshape(T, heads, self.d).swapaxes(0, 1)
                       for n, heads in (("q", self.H), ("k", self.G), ("v", self.G)))
            states.append((q, k, v))
            n = c["k"].shape[1]
            c["k"], c["v"] = np.concatenate([c["k"], k], 1), np.concatenate([c["v"], v], 1)
            group = self.H // self.G
            keys, values = np.repeat(self.rope(c["k"], 0), group, 0), np.repeat(c["v"], group, 0)
            logits = self.rope(q, n) @ keys.swapaxes(1, 2) / math.sqrt(self.d)
            logits[:, np.arange(n + T)[None] > n + np.arange(T)[:, None]] = -np.inf
            p = softmax(logits)
            c["received"] = np.concatenate([c["received"], np.zeros(T)]) + p.sum(1).mean(0)
            x = x + self.linear((p @ values).swapaxes(0, 1).reshape(T, -1), f"blk.{l}.attn_output")
            y = self.norm(x, f"blk.{l}.ffn_norm")
            gate = self.linear(y, f"blk.{l}.ffn_gate")
            x = x + self.linear(gate / (1 + np.exp(-gate)) * self.linear(y, f"blk.{l}.ffn_up"), f"blk.{l}.ffn_down")
        return self.linear(self.norm(x[-1], "output_norm"), "output"), states

    def empty_cache(self):
        return [{"k": np.zeros((self.G, 0, self.d)), "v": np.zeros((self.G, 0, self.d)), "received": np.zeros(0)}
                for _ in range(self.L)]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def evict(cache):
    """H2O: the sinks, the newest half, and of the others those that received most attention."""
    for c in cache:
        n = len(c["received"])
        if n <= CACHE:
            continue
        rank = c["received"].copy()
        rank[:SINKS] = rank[n - CACHE // 2:] = np.inf
        keep = np.sort(np.argsort(-rank, kind="stable")[:CACHE])
        c["k"], c["v"], c["received"] = c["k"][:, keep], c["v"][:, keep], c["received"][keep]


def read(model, text):
    """-> (cache, pages: for each its first token, and k, v [L, G, n, d])."""
    cache, pages = model.empty_cache(), []
    for begin in range(0, len(text), CHUNK):
        _, states = model.run(text[begin: begin + CHUNK], cache)
        k, v = (np.stack([s[i] for s in states]) for i in (1, 2))
        pages += [(begin + p, k[:, :, p: p + PAGE], v[:, :, p: p + PAGE]) for p in range(0, k.shape[2], PAGE)]
        evict(cache)
    return cache, pages


def choose(model, cache, pages, prompt, question):
    """The numbers of the chosen pages, ascending. question: a range of the prompt's tokens."""
    _, states = model.run(prompt, [dict(c) for c in cache])
    q = np.stack([s[0] for s in states])[:, :, question]  # [L, H, m, d]
    keys = np.repeat(np.stack([k.mean(2) for _, k, _ in pages], 2), model.H // model.G, 1)  # [L, H, n_pages, d]
    scores = softmax(q @ keys.swapaxes(2, 3) / math.sqrt(model.d)).mean((0, 1)).sum(0)
    size = [k.shape[2] for _, k, _ in pages]
    chosen = [0, len(pages) - 1]
    left = BUDGET - size[0] - size[-1]
    for p in sorted(range(1, len(pages) - 1), key=lambda p: -scores[p]):
        if size[p] <= left:
            chosen.append(p)
            left -= size[p]
    return sorted(chosen)


def answer(model, pages, chosen, prompt):
    cache = model.empty_cache()
    for l, c in enumerate(cache):
        c["k"], c["v"] = (np.concatenate([pages[p][i][l] for p in chosen], 1) for i in (1, 2))
        c["received"] = np.zeros(c["k"].shape[1])
    return model.run(prompt, cache)[0]


def main():
    rng = np.random.default_rng(20261)
    model = Model(GOLDEN / "tiny_qwen2.gguf")
    text, before, behind = (rng.integers(0, 256, n) for n in (N_TEXT, BEFORE, BEHIND))
    cache, pages = read(model, text)
    questions, begins, logits = [], [], []
    for _ in range(N_QUESTIONS):
        question = rng.integers(0, 256, rng.integers(3, 10))
        prompt = np.concatenate([before, question, behind])
        chosen = choose(model, cache, pages, prompt, slice(BEFORE, BEFORE + len(question)))
        row = [pages[p][0] for p in chosen]
        questions += [len(question), *question]
        begins += [len(row), *row]
        logits.append(answer(model, pages, chosen, prompt))
    arrays = {"text": text.astype("<i4"), "before": before.astype("<i4"), "behind": behind.astype("<i4"),
              "questions": np.array(questions, "<i4"), "pages": np.array(begins, "<i4"),
              "logits": np.array(logits).astype("<f4")}
    head = {"heads": ["k0.0"], "chunk": CHUNK, "cache": CACHE, "sinks": SINKS, "overlap": 0, "page": PAGE,
            "budget": BUDGET, "arrays": [[k, list(v.shape), v.dtype.str] for k, v in arrays.items()]}
    with open(GOLDEN / "pages_tiny_qwen2.bin", "wb") as out:
        out.write(json.dumps(head).encode() + b"\n")
        for array in arrays.values():
            out.write(array.tobytes())


if __name__ == "__main__":
    main()
