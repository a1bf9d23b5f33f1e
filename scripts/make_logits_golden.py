#!/usr/bin/env python3
"""Golden logits of a real model, by transformers in FP32 on the GGUF's dequantised weights.

    scripts/make_logits_golden.py models/smollm2-135m.gguf [--cross-check]

writes tests/golden/logits_<name>.bin (read by tests/runtime/support/model_support.h): 200 positions of the text below, each with
its 8 best tokens, its log-sum-exp and 1,024 seeded rows of the vocabulary in FP16; and the mean negative log-likelihood
of 8,192 tokens (half the Bible as Debian's `bible` prints it, half a licence text) in windows of 2,048.

Needs: torch, transformers, gguf, llama-cpp-python (tokenises; with --cross-check also recomputes the logits, as a
second opinion on this script), the package bible-kjv.
"""

import argparse
import pathlib
import struct
import subprocess

import numpy as np
import torch

N_POSITIONS, N_ROWS, N_TOP, WINDOW, N_WINDOWS, SEED = 200, 1024, 8, 2048, 4, 20250612

TEXT = """The harbour office keeps two ledgers. One lists the ships that came in, with the hour and the depth of the water;
the other, kept by the night clerk, lists what each captain said. On 14 March the two disagree for the first time.

```python
def merge(left, right):
    \"\"\"Joins two sorted lists of (hour, ship) pairs.\"\"\"
    out, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            out.append(left[i]); i += 1
        else:
            out.append(right[j]); j += 1
    return out + left[i:] + right[j:]
```

"Seventeen metres," said the pilot, "and falling." Nobody wrote it down. Später fragte man ihn noch einmal; il répondit que
la marée avait déjà tourné. 船在黎明前离开了港口。 The clerk closed the book, turned the lamp down and went home along the quay,
where the ropes creaked and the gulls had begun to quarrel over the first of the morning's catch.
"""


def perplexity_texts():
    bible = subprocess.run(["bible", "-f", "1sam1:1-1sam20:42"], capture_output=True, text=True, check=True).stdout
    licence = pathlib.Path("/usr/share/common-licenses/LGPL-2.1").read_text()
    return bible, licence


def nll_of_window(model, ids):
    """Sum of the negative log-likelihoods of ids[1:], with logits made 256 rows at a time."""
    hidden = model.model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    total = 0.0
    for begin in range(0, len(ids) - 1, 256):
        end = min(begin + 256, len(ids) - 1)
        logp = torch.log_softmax(model.lm_head(hidden[begin:end]).double(), dim=-1)
        total -= logp.gather(1, torch.tensor(ids[begin + 1 : end + 1])[:, None]).sum().item()
    return total


def main():
    from llama_cpp import Llama
    from transformers import AutoModelForCausalLM

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("--cross-check", action="store_true")
    args = parser.parse_args()
    name = args.gguf.stem

    llama = Llama(str(args.gguf), n_ctx=256, logits_all=True, verbose=False)
    tokenise = lambda text: llama.tokenize(text.encode(), add_bos=False, special=False)
    bos = [llama.token_bos()] if llama.tokenize(b"a", add_bos=True) != tokenise("a") else []
    ids = (bos + tokenise(TEXT))[:N_POSITIONS]
    assert len(ids) == N_POSITIONS, len(ids)
    ppl_ids = []
    for text in perplexity_texts():
        text_ids = tokenise(text)
        step = WINDOW - len(bos)
        for w in range(N_WINDOWS // 2):
            ppl_ids += bos + text_ids[w * step : (w + 1) * step]
    assert len(ppl_ids) == N_WINDOWS * WINDOW, len(ppl_ids)

    torch.manual_seed(SEED)
    model = AutoModelForCausalLM.from_pretrained(args.gguf.parent, gguf_file=args.gguf.name, dtype=torch.float32)
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].numpy()
        if args.cross_check:
            llama.eval(ids)
            other = np.array(llama.scores[: len(ids)], dtype=np.float64)[:, : logits.shape[1]]
            a, b = logits.astype(np.float64), other
            cosine = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
            same = (a.argmax(1) == b.argmax(1)).sum()
            print(f"{name}: llama.cpp agrees: cosine min {cosine.min():.6f} mean {cosine.mean():.6f}, same top {same}")
        llama.close()
        nll = sum(nll_of_window(model, ppl_ids[w * WINDOW : (w + 1) * WINDOW]) for w in range(N_WINDOWS))
    nll /= N_WINDOWS * (WINDOW - 1)

    n_vocab = logits.shape[1]
    rows = np.sort(np.random.default_rng(SEED).choice(n_vocab, N_ROWS, replace=False)).astype("<i4")
    top = np.argsort(-logits, axis=1, kind="stable")[:, :N_TOP].astype("<i4")
    lse = torch.logsumexp(torch.tensor(logits).double(), dim=-1).numpy()
    out = pathlib.Path(__file__).parent.parent / "tests/golden" / f"logits_{name}.bin"
    write_golden(out, n_vocab, ids, rows, logits, top, lse, ppl_ids, WINDOW, nll)
    print(f"{out.name}: {out.stat().st_size} bytes, perplexity {np.exp(nll):.4f}")


def write_golden(path, n_vocab, ids, rows, logits, top, lse, ppl_ids=(), window=0, nll=0.0):
    """All little-endian: "RLOG", six int32, one double, then the arrays in this order."""
    with open(path, "wb") as f:
        f.write(b"RLOG" + struct.pack("<6id", n_vocab, len(ids), len(rows), top.shape[1], len(ppl_ids), window, nll))
        f.write(np.asarray(ids, "<i4").tobytes())  # [n_positions]
        f.write(np.asarray(rows, "<i4").tobytes())  # [n_rows]
        f.write(np.asarray(ppl_ids, "<i4").tobytes())  # [n_ppl]
        f.write(lse.astype("<f4").tobytes())  # [n_positions]
        f.write(top.astype("<i4").tobytes())  # [n_positions, n_top]
        f.write(np.take_along_axis(logits, top.astype(np.int64), 1).astype("<f4").tobytes())  # [n_positions, n_top]
        f.write(logits[:, rows].astype("<f2").tobytes())  # [n_positions, n_rows]


if __name__ == "__main__":
    main()
