#!/usr/bin/env python3
"""Needle recall with a real model: does reform gather the passage that holds a plain fact in a long text?

A text of at least 64k tokens with invented facts is ingested once, and each fact is asked for. A needle counts as found if
every byte of its sentence lies inside the gathered passages. For some needles the whole answer is decoded and compared too;
the number of exact answers is printed, not judged. The others are only gathered (-n 0). Exits 1 when fewer than --recall of the needles are found. Standard library only.
"""
import argparse
import hashlib
import random
import sys
import time
from pathlib import Path

import haystack
import reform_cli

ROOT = Path(__file__).resolve().parent.parent
VERSES = "judges1:1-1sam31:13"
MIN_TOKENS = 64 * 1024


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=ROOT / "models/qwen2.5-coder-0.5b.gguf")
    parser.add_argument("--binary", type=Path, default=reform_cli.BINARY)
    parser.add_argument("--work-dir", type=Path, default=ROOT / "build/needles", help="gets the text and a store")
    parser.add_argument("--verses", default=VERSES, help="range of the Bible that makes the text")
    parser.add_argument("--min-tokens", type=int, default=MIN_TOKENS)
    parser.add_argument("--needles", type=int, default=40)
    parser.add_argument("--answers", type=int, default=8, help="so many of them are answered in full")
    parser.add_argument("--gather-tokens", type=int, default=2048)
    parser.add_argument("--policy", default="h2o")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--recall", type=float, default=0.95, help="least share of needles found")
    return parser.parse_args()


def ask(arguments, store, name, fact, n_new):
    return reform_cli.run("ask", "--store", store, "--gather-tokens", arguments.gather_tokens, "--temp", "0",
                          "-n", n_new, name, fact.question, binary=arguments.binary, timeout_s=600)


def main():
    arguments = parse()
    facts = haystack.draw_facts(arguments.needles, arguments.seed)
    text = haystack.insert(haystack.bible(arguments.verses), facts, arguments.seed).encode()
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    path = arguments.work_dir / "text.txt"
    store = arguments.work_dir / "store"  # of its own: a store refuses a folder that holds other files
    path.write_bytes(text)
    key = f"{arguments.model.resolve()} {arguments.policy}".encode() + text
    name = f"needles-{hashlib.sha256(key).hexdigest()[:8]}"
    begun = time.monotonic()
    read = reform_cli.run("ingest", "--model", arguments.model, "--store", store, "--policy", arguments.policy,
                          name, path, binary=arguments.binary, show_progress=True)
    n_tokens = read["context"]["n_tokens"]
    print(f"{n_tokens:,} tokens, {len(facts)} needles, seed {arguments.seed}; reading took {time.monotonic() - begun:.0f} s",
          flush=True)
    if n_tokens < arguments.min_tokens:
        print(f"needles: the text has {n_tokens} tokens, expected at least {arguments.min_tokens}", file=sys.stderr)
        return 1
    answered = set(random.Random(arguments.seed).sample(range(len(facts)), min(arguments.answers, len(facts))))
    n_found = n_exact = 0
    asked = time.monotonic()
    for i, fact in enumerate(facts):
        in_full = i in answered
        result = ask(arguments, store, name, fact, 64 if in_full else 0)
        found = haystack.covered(fact, result["sources"])
        n_found += found
        exact = in_full and haystack.has_value(result["answer"], fact.value)
        n_exact += exact
        share = result["gathered_tokens"] / n_tokens
        print(f"  {'found ' if found else 'MISSED'} byte {fact.begin_byte:9,}  {fact.question}"
              + (f"  {'exact' if exact else 'WRONG: ' + ' '.join(result['answer'].split())}" if in_full else ""), flush=True)
    recall = n_found / len(facts)
    print(f"needles: {n_found} of {len(facts)} passages gathered ({recall:.1%}, at least {arguments.recall:.0%} wanted) in "
          f"{arguments.gather_tokens} tokens by score ({share:.1%} of the text), {n_exact} of {len(answered)} answers exact, "
          f"{(time.monotonic() - asked) / len(facts):.1f} s per question")
    return 0 if recall >= arguments.recall else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (reform_cli.CommandFailed, RuntimeError, OSError) as error:
        print(f"needles: {error}", file=sys.stderr)
        sys.exit(1)
