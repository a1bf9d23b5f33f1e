#!/usr/bin/env python3
"""Joins the sample texts (heads/samples/) to one long text, in an order drawn from a seed, for head_rows.

Writes into --out: text.txt; questions.json, a list of strings; gold.json, for each question its kind, genre, language, text
and the byte ranges of its evidence. Standard library only.
"""
import argparse
import json
import random
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[2] / "heads/samples"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    paths = sorted(SAMPLES.glob("*.json"))
    random.Random(arguments.seed).shuffle(paths)
    joined, questions, gold = b"", [], []
    for path in paths:
        sample = json.loads(path.read_text(encoding="utf-8"))
        text = "\n".join(sample["text"])
        for question in sample["questions"]:
            ranges = []
            for evidence in question["evidence"]:
                begin = len(joined) + len(text[:text.index(evidence)].encode())
                ranges.append([begin, begin + len(evidence.encode())])
            questions.append(question["question"])
            gold.append({"kind": question["kind"], "genre": sample["kind"], "language": sample["language"],
                         "text": path.stem, "ranges": ranges})
        joined += text.encode() + b"\n\n"
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "text.txt").write_bytes(joined)
    (arguments.out / "questions.json").write_text(json.dumps(questions))
    (arguments.out / "gold.json").write_text(json.dumps(gold))
    print(f"{len(paths)} texts, {len(joined):,} bytes, {len(questions)} questions")


if __name__ == "__main__":
    main()
