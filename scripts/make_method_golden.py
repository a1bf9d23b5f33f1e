#!/usr/bin/env python3
"""Golden data of the method itself (compress, question, gather) by its plain PyTorch form, method_reference.py.

    scripts/make_method_golden.py        writes tests/golden/method_tiny_qwen2.bin

The tiny model, seeded token ids, chunks and budgets small enough that eviction happens often. The file is one line of
JSON (what was run, and the arrays in order with their shapes), then the arrays as little-endian float32 or int32.
Needs: numpy, torch, transformers, accelerate, gguf.
"""

import json
import pathlib

import numpy as np
import torch
from method_reference import Model, compress, compress_independent, gather, query_states, similarity

GOLDEN = pathlib.Path(__file__).parent.parent / "tests/golden"
HEADS = [(2, "q", 3), (1, "v", 1), (1, "k", 0), (0, "q", 2)]
LONG = {"text": 700, "chunk": 150, "cache": 200}
N_TEXT, N_QUESTION, CHUNK, CACHE, SINKS, OVERLAP = 230, 7, 48, 40, 4, 16


def main():
    rng = np.random.default_rng(20251)
    model = Model.from_gguf(str(GOLDEN / "tiny_qwen2.gguf"))
    text = torch.tensor(rng.integers(0, 256, N_TEXT))
    question = torch.tensor(rng.integers(0, 256, N_QUESTION))
    arrays = {"text": text.numpy().astype("<i4"), "question": question.numpy().astype("<i4")}

    for policy in ("h2o", "recent", "tova", "zsmerge", "cascade", "none"):
        if policy == "none":
            _, states = compress_independent(model, text, HEADS, chunk=CHUNK, overlap=OVERLAP)
            cache, _ = compress(model, text, HEADS, chunk=N_TEXT, budget=N_TEXT)  # questions are asked on the whole text
        else:
            cache, states = compress(model, text, HEADS, chunk=CHUNK, budget=CACHE, policy=policy, sinks=SINKS)
            arrays[f"{policy}_kept"] = torch.stack([c.index for c in cache[:2]]).numpy().astype("<i4")
        asked = query_states(model, question, cache, HEADS)
        scores = similarity(states, asked, HEADS)
        arrays[f"{policy}_states"] = torch.stack([states[h] for h in HEADS], 1).numpy().astype("<f4")
        arrays[f"{policy}_question"] = torch.stack([asked[h] for h in HEADS], 1).numpy().astype("<f4")
        arrays[f"{policy}_scores"] = scores.numpy().astype("<f4")
        arrays[f"{policy}_gathered"] = gather(scores, 40, window=9, edge=16).numpy().astype("<i4")

    # A longer text, and a cache with several merged slots.
    text = torch.tensor(np.random.default_rng(20252).integers(0, 256, LONG["text"]))
    cache, states = compress(model, text, HEADS, chunk=LONG["chunk"], budget=LONG["cache"], policy="zsmerge")
    asked = query_states(model, question, cache, HEADS)
    arrays["long_text"] = text.numpy().astype("<i4")
    arrays["long_zsmerge_kept"] = torch.stack([c.index for c in cache[:2]]).numpy().astype("<i4")
    arrays["long_zsmerge_weights"] = torch.stack([c.weight for c in cache[:2]]).numpy().astype("<f4")
    arrays["long_zsmerge_question"] = torch.stack([asked[h] for h in HEADS], 1).numpy().astype("<f4")

    # Gather alone, on more tokens and with the default window.
    scores = rng.standard_normal(3000).astype("<f4")
    arrays["plain_scores"] = scores
    arrays["plain_gathered"] = gather(torch.tensor(scores), 500, window=65, edge=128).numpy().astype("<i4")

    head = {"heads": ["{1}{0}.{2}".format(*h) for h in HEADS], "chunk": CHUNK, "cache": CACHE, "sinks": SINKS,
            "overlap": OVERLAP, "long": LONG, "arrays": [[k, list(v.shape), v.dtype.str] for k, v in arrays.items()]}
    with open(GOLDEN / "method_tiny_qwen2.bin", "wb") as out:
        out.write(json.dumps(head).encode() + b"\n")
        for array in arrays.values():
            out.write(np.ascontiguousarray(array).tobytes())


if __name__ == "__main__":
    main()
