#!/usr/bin/env python3
"""What each head says of each window for each question: late interaction over the rows of head_rows.

scores.npy [n_heads + 1, n_windows, n_questions] in --dir: the sum over the question's tokens of rarity times the largest cosine
in the window. The last "head" is lexical: 1 where the token is the question's own, case and leading space ignored. A window is
two strides wide and begins at each stride. Rarity is ln(1 + (B - n + .5) / (n + .5)), where n of the text's B blocks of 64 tokens
hold the token. Needs numpy and gguf.
"""
import argparse
import json
import time
from pathlib import Path

import gguf
import numpy as np

BLOCK_TOKENS = 64
SLICE_STRIDES = 64  # strides computed at a time


def byte_level_codes():
    """The byte that each character of a byte-level vocabulary stands for."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {**{chr(b): b for b in plain}, **{chr(256 + i): b for i, b in enumerate(others)}}


def folded_tokens(model):
    """Of each token of the vocabulary: its bytes without case and surrounding space."""
    fields = gguf.GGUFReader(model).fields
    texts = [bytes(fields["tokenizer.ggml.tokens"].parts[i]).decode() for i in fields["tokenizer.ggml.tokens"].data]
    kind = fields["tokenizer.ggml.model"]
    if bytes(kind.parts[kind.data[0]]) == b"gpt2":
        codes = byte_level_codes()
        return [bytes(codes.get(c, 63) for c in text).strip().lower() for text in texts]
    return [text.replace("\u2581", " ").strip().lower().encode() for text in texts]


class Rows:
    """Rows as they lie on the disk (runtime/compress/embedding.h)."""

    def __init__(self, path, n_heads, head_dim, row_bytes):
        self.n_heads, self.head_dim = n_heads, head_dim
        self.bytes = np.memmap(path, np.uint8, "r").reshape(-1, row_bytes)
        self.value_bytes = (n_heads * head_dim + 3) // 4 * 4

    def load(self, begin, end):
        """FP32 states [n_heads, end - begin, head_dim], one head after the other."""
        raw = np.array(self.bytes[begin:end])
        values = raw[:, :self.n_heads * self.head_dim].view(np.int8).reshape(len(raw), self.n_heads, self.head_dim)
        scales = np.ascontiguousarray(raw[:, self.value_bytes:]).view(np.float32)
        for head in range(self.n_heads):
            yield values[:, head].astype(np.float32) * scales[:, head:head + 1]


def rarity(ids, question_ids, folded):
    n_blocks = -(-len(ids) // BLOCK_TOKENS)
    n_in = {}
    for block in range(n_blocks):
        for token in {folded[i] for i in ids[block * BLOCK_TOKENS:(block + 1) * BLOCK_TOKENS]}:
            n_in[token] = n_in.get(token, 0) + 1
    n = np.array([n_in.get(folded[i], 0) for i in question_ids], np.float32)
    return np.log(1 + (n_blocks - n + .5) / (n + .5))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True, help="the folder that head_rows wrote")
    parser.add_argument("--model", required=True)
    parser.add_argument("--stride", type=int, default=32)
    arguments = parser.parse_args()
    info = json.loads((arguments.dir / "info.json").read_text())
    ids, questions, n_heads, stride = info["ids"], info["question_ids"], len(info["heads"]), arguments.stride
    asked = [i for question in questions for i in question]
    first = np.cumsum([0] + [len(q) for q in questions])[:-1]
    folded = folded_tokens(arguments.model)
    weights = rarity(ids, asked, folded)
    of_rows = (n_heads, info["head_dim"], info["row_bytes"])
    text = Rows(arguments.dir / "rows.bin", *of_rows)
    question_states = [s.T.copy() for s in Rows(arguments.dir / "questions.bin", *of_rows).load(0, len(asked))]
    number = {}
    text_tokens = np.array([number.setdefault(folded[i], len(number)) for i in ids])
    asked_tokens = np.array([number.get(folded[i], -1) for i in asked])

    n_strides = -(-len(ids) // stride)
    scores = np.lib.format.open_memmap(arguments.dir / "scores.npy", "w+", np.float16, (n_heads + 1, n_strides, len(questions)))
    begun = time.monotonic()
    for begin in range(0, n_strides, SLICE_STRIDES):
        n = min(SLICE_STRIDES, n_strides - begin)
        tokens = slice(begin * stride, min((begin + n + 1) * stride, len(ids)))  # one stride more, for the last window
        lexical = (text_tokens[tokens, None] == asked_tokens[None]).astype(np.float32)
        for head, cosines in enumerate(products(text, tokens, question_states, lexical)):
            missing = -len(cosines) % stride
            if missing:
                cosines = np.vstack([cosines, np.full((missing, cosines.shape[1]), -1, np.float32)])
            best = cosines.reshape(-1, stride, cosines.shape[1]).max(1)
            windows = best[:n].copy()
            n_pairs = min(n, len(best) - 1)
            windows[:n_pairs] = np.maximum(windows[:n_pairs], best[1:n_pairs + 1])
            scores[head, begin:begin + n] = np.add.reduceat(windows * weights, first, axis=1)
        print(f"\r{begin + n} of {n_strides} strides, {time.monotonic() - begun:.0f} s", end="", flush=True)
    print()


def products(text, tokens, question_states, lexical):
    """The cosines of each head in turn, then the lexical ones."""
    for states, question in zip(text.load(tokens.start, tokens.stop), question_states):
        yield states @ question
    yield lexical


if __name__ == "__main__":
    main()
