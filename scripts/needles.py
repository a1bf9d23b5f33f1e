#!/usr/bin/env python3
"""Needle recall with a real model: does reform gather the passage that holds a plain fact in a long text?

A text of at least 64k tokens with invented facts is ingested once, and each fact is asked for. A needle counts as found if
every byte of its sentence lies inside the gathered passages. One search looks for all of them. Some are asked as well, which
must gather them too, and the answers are compared: the number of exact ones is printed, not judged. Exits 1 when fewer than
--recall of the needles are found. Standard library only.
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


def search(arguments, store, name, facts):
    """What `search` prints for each fact's question. The model and the context are loaded once for all."""
    path = arguments.work_dir / "questions.txt"
    path.write_text("".join(fact.question + "\n" for fact in facts))
    found = reform_cli.run_lines("search", "--store", store, "--gather-tokens", arguments.gather_tokens, name, "--file", path,
                                 binary=arguments.binary, timeout_s=600)
    if [result["question"] for result in found] != [fact.question for fact in facts]:
        raise RuntimeError(f"search did not answer the questions of {path} one by one")
    return found


def ask(arguments, store, name, fact):
    return reform_cli.run("ask", "--store", store, "--gather-tokens", arguments.gather_tokens, "--temp", "0", "-n", "64", name,
                          fact.question, binary=arguments.binary, timeout_s=600)


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
    begun = time.monotonic()
    searched = search(arguments, store, name, facts)
    search_s = time.monotonic() - begun
    for i, (fact, result) in enumerate(zip(facts, searched)):
        found, exact = haystack.covered(fact, result["sources"]), False
        if i in answered:
            reply = ask(arguments, store, name, fact)
            found = found and haystack.covered(fact, reply["sources"])
            exact = haystack.has_value(reply["answer"], fact.value)
        n_found += found
        n_exact += exact
        share = result["gathered_tokens"] / n_tokens
        print(f"  {'found ' if found else 'MISSED'} byte {fact.begin_byte:9,}  {fact.question}"
              + (f"  {'exact' if exact else 'WRONG: ' + ' '.join(reply['answer'].split())}" if i in answered else ""), flush=True)
    recall = n_found / len(facts)
    print(f"needles: {n_found} of {len(facts)} passages gathered ({recall:.1%}, at least {arguments.recall:.0%} wanted) in "
          f"{arguments.gather_tokens} tokens by score ({share:.1%} of the text), {n_exact} of {len(answered)} answers exact, "
          f"{search_s / len(facts):.2f} s to search for one")
    return 0 if recall >= arguments.recall else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (reform_cli.CommandFailed, RuntimeError, OSError) as error:
        print(f"needles: {error}", file=sys.stderr)
        sys.exit(1)
