#!/usr/bin/env python3
"""Measures what approximations of phase 1 cost in answers: a table per model and policy, in bench/results/quality.md.

    bench/quality/quality.py --models qwen2.5-coder-0.5b smollm2-135m --policies h2o none

Real text with invented facts put in (scripts/haystack.py) is read once exactly and once per approximation
(bench/quality/approximate_device.cc), and each fact is asked for. Runs are kept in --work-dir and not repeated. Standard
library only.
"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import haystack  # noqa: E402

PRODUCTS = ("f32", "f16", "bf16", "fp8-row", "fp8-call", "fp8-unscaled")
STRIDES = ("stride-2", "stride-4", "stride-8", "stride-16")
VERSES = "genesis1:1-ruth4:22"
CHUNK_TOKENS = {"h2o": 2048, "none": 4096}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["qwen2.5-coder-0.5b", "smollm2-135m"])
    parser.add_argument("--policies", nargs="+", default=["none", "h2o"], choices=sorted(CHUNK_TOKENS))
    parser.add_argument("--rows", nargs="+", default=[*PRODUCTS, *STRIDES], choices=(*PRODUCTS, *STRIDES))
    parser.add_argument("--texts", type=int, default=2, help="so many, with facts of their own")
    parser.add_argument("--needles", type=int, default=40, help="facts in each")
    parser.add_argument("--text-bytes", type=int, default=60_000)
    parser.add_argument("--cache-tokens", type=int, default=2048)
    parser.add_argument("--gather-tokens", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--binary", type=Path, default=ROOT / "build/release/bin/quality_rows")
    parser.add_argument("--work-dir", type=Path, default=ROOT / "build/quality", help="gets texts and finished runs")
    parser.add_argument("--kept", action="store_true", help="run nothing: tables of the finished runs")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/quality.md", help="its tables are rewritten")
    return parser.parse_args()


def write_text(arguments, seed):
    """(path of the text, path of its facts); each seed has verses of its own."""
    begin = seed * 4 * arguments.text_bytes
    whole = haystack.bible(VERSES)[begin:begin + arguments.text_bytes]
    if len(whole) < arguments.text_bytes:
        raise RuntimeError(f"{VERSES} is too short for {arguments.texts} texts of {arguments.text_bytes} bytes")
    facts = haystack.draw_facts(arguments.needles, seed)
    text = haystack.insert(whole, facts, seed)
    stem = arguments.work_dir / f"text-{seed}-{arguments.needles}-{arguments.text_bytes}"
    stem.with_suffix(".txt").write_bytes(text.encode())
    stem.with_suffix(".json").write_text(json.dumps([vars(fact) for fact in facts]))
    return stem.with_suffix(".txt"), stem.with_suffix(".json")


def run(arguments, model, policy, seed, row):
    """One approximation's results on one text, `exact` among them."""
    text, facts = write_text(arguments, seed)
    budgets = ",".join(map(str, arguments.gather_tokens))
    kept = arguments.work_dir / f"{model}-{policy}-{row}-{arguments.cache_tokens}-{budgets}-{text.stem}.json"
    return kept, [str(arguments.binary), "--model", str(ROOT / f"models/{model}.gguf"), "--text", str(text), "--facts",
                  str(facts), "--policy", policy, "--chunk-tokens", str(CHUNK_TOKENS[policy]), "--cache-tokens",
                  str(arguments.cache_tokens), "--gather-tokens", budgets]


def results(arguments, model, policy, seed):
    """({row: the results of quality_rows}, number of tokens); runs what is missing."""
    rows = [row for row in arguments.rows if policy == "h2o" or row not in STRIDES]
    kept = {row: run(arguments, model, policy, seed, row)[0] for row in ["exact", *rows]}
    missing = [row for row in rows if not kept[row].exists()]
    if arguments.kept:
        return {row: json.loads(path.read_text()) for row, path in kept.items() if path.exists()}
    if missing:
        begun = time.monotonic()
        command = [*run(arguments, model, policy, seed, "exact")[1], "--rows", ",".join(missing)]
        out = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for row, result in out["rows"].items():
            kept[row].write_text(json.dumps({"n_tokens": out["n_tokens"], **result}))
        print(f"{model} {policy} text {seed}: {time.monotonic() - begun:.0f} s", flush=True)
    return {row: json.loads(path.read_text()) for row, path in kept.items()}


def table(arguments, model, policy):
    per_text = [found for seed in range(arguments.texts) if (found := results(arguments, model, policy, seed))]
    if not per_text:
        return f"### {model}, `{policy}`: not run"
    n_tokens = sum(r["exact"]["n_tokens"] for r in per_text)
    head = [f"found in {n:,}" for n in arguments.gather_tokens] + [f"same of {n:,}" for n in arguments.gather_tokens]
    lines = [f"### {model}, `{policy}`: {n_tokens:,} tokens in {len(per_text)} text{'s' * (len(per_text) > 1)}, chunks of {CHUNK_TOKENS[policy]:,}"
             + (f" over a cache of {arguments.cache_tokens:,}" if policy == "h2o" else ""), "",
             f"| products, queries | {' | '.join(head)} | row cosine | 1 % of rows below |",
             "|---|" + "--:|" * (len(head) + 2)]
    for row in per_text[0]:
        runs = [r[row] for r in per_text if row in r]
        columns = []
        for b in range(len(arguments.gather_tokens)):
            found = [f for r in runs for f in r["budgets"][b]["found"]]
            columns.append(f"{sum(found)} of {len(found)}")
        for b in range(len(arguments.gather_tokens)):
            same = sum(r["budgets"][b]["same_tokens"] for r in runs) / sum(r["budgets"][b]["exact_tokens"] for r in runs)
            columns.append(f"{100 * same:.1f} %")
        for key in ("mean", "percentile_1"):
            columns.append(f"{sum(r['row_cosine'][key] for r in runs) / len(runs):.5f}")
        lines.append(f"| {row} | {' | '.join(columns)} |")
    return "\n".join(lines)


BEGIN, END = "<!-- tables: bench/quality/quality.py -->", "<!-- end of tables -->"


def main():
    arguments = parse()
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    tables = [table(arguments, model, policy) for model in arguments.models for policy in arguments.policies]
    body = f"{BEGIN}\n" + "\n\n".join(tables) + f"\n{END}"
    before, after = "# Approximations of phase 1\n\n", "\n"
    if arguments.out.exists() and BEGIN in (text := arguments.out.read_text()):
        before, after = text[:text.index(BEGIN)], text[text.index(END) + len(END):]
    arguments.out.write_text(before + body + after)
    print(body)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"quality: {error}", file=sys.stderr)
        sys.exit(1)
