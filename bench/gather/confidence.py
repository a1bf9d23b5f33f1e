#!/usr/bin/env python3
"""Does `confidence` tell a text's own questions from those of other texts? (README.md)

    python3 bench/gather/confidence.py

Each text is asked 20 of its own questions, 20 of the other texts', and 20 of general knowledge. The texts, the contexts and the folder
are those of evaluate.py. The area under the ROC curve (AUC) is the chance that an own question's confidence is above another's.
"""
import argparse
import random

from evaluation import engine, sets
from evaluation.shared import add_options, load_texts
from lib import fetch
from lib.engine import open_engine, run_script
from lib.files import commit

N_QUESTIONS = 20
FAR = 0.2  # below it, `ask` and `search` say that nothing in the text is close
GENERAL = """What is the capital of Australia?|Who won the football world cup in 2014?|How many moons does Jupiter have?
What is the boiling point of ethanol?|Who painted the Mona Lisa?|How do I bake sourdough bread?|Which vitamins are in broccoli?
What does the mitochondrion do?|When was the Berlin wall torn down?|How long is the Amazon river?|Who wrote Pride and Prejudice?
What is a quasar?|How is cheese made?|What causes a rainbow?|Which country has the most volcanoes?|What is the exchange rate of the yen?
Who invented the telephone?|What is the speed limit in Germany?|How do vaccines work?|What is the tallest building in Dubai?
""".replace("\n", "|").strip("|").split("|")


def auc(above, below):
    return sum((a > b) + (a == b) / 2 for a in above for b in below) / (len(above) * len(below))


def single(test):
    return [" ".join(q["question"].split()) for q in test.questions if q["set"] != "several"]


def kinds(tests, test):
    """{kind: questions}; what other texts have comes from all of them alike, but for code, whose questions are commands."""
    draw = random.Random(7)
    others = [single(t) for t, _ in tests if t is not test and "code" not in {q["set"] for q in t.questions}]
    per_text = -(-N_QUESTIONS // max(1, len(others)))
    return {"own": draw.sample(single(test), min(N_QUESTIONS, len(single(test)))),
            "others'": [q for questions in others for q in draw.sample(questions, min(per_text, len(questions)))],
            "general": GENERAL}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, sets.TEXTS, 16)
    arguments = parser.parse_args()
    tests = load_texts(arguments, fetch.Fetcher(arguments.work_dir / "downloads"))
    run = open_engine(arguments)
    row = engine.ROWS["late-balanced"]
    options = ("--gather-tokens", 512, *row.search)
    print(f"{arguments.model.stem}, texts of {arguments.size}k tokens, `{' '.join(row.ingest)}`; reform at commit {commit()}\n")
    print("| text | far: own | far: others' | far: general | AUC: others' | AUC: general |\n|---|--:|--:|--:|--:|--:|")
    for test, path in tests:
        name, _ = run.ingest(path, test.text, row.ingest)
        asked = kinds(tests, test)
        sure = {kind: [a["confidence"] for a in run.search(name, questions, options)] for kind, questions in asked.items()}
        far = [f"{100 * sum(s < FAR for s in sure[kind]) / len(sure[kind]):.0f} %" for kind in sure]
        print(f"| {path.stem} | {' | '.join(far)} | " + " | ".join(f"{auc(sure['own'], sure[k]):.2f}" for k in list(sure)[1:]) + " |", flush=True)
    return 0


if __name__ == "__main__":
    run_script("confidence", main)
