"""Questions on natural passages: RULER's question answering (arXiv 2404.06654, section 3).

The paper: the passage that answers a question of SQuAD, or the two that answer one of HotpotQA, among passages of the same data.
Ours: passages and questions of our own about places and people that do not exist (qa_pairs.json), so that no model knows the
answers; among all the others of the file and, as the file is short, paragraphs of essays. One text has all passages and is asked
several questions, which RULER's is not (--per-text 1 asks one).
"""
import json
from pathlib import Path

from lib.test_text import Builder
from tasks import sources
from tasks.task import Task

PAIRS = Path(__file__).with_name("qa_pairs.json")


def pairs():
    return json.loads(PAIRS.read_text(encoding="utf-8"))


def documents(passages, texts, size_bytes, rng):
    """[(number of the passage or None, text)] in an order drawn."""
    order = list(enumerate(passages))
    room = max(size_bytes - sum(len(p.encode()) + 20 for p in passages), 1)
    order += [(None, p.strip()) for p in sources.take(texts.essays(), room * 0.95, rng)]
    rng.shuffle(order)
    return order


def make(hops, texts, size_bytes, rng, n_questions):
    topics = pairs()
    kept = topics if size_bytes > 2 * sum(len(p.encode()) for t in topics for p in t["passages"]) else rng.sample(topics, n_questions)
    passages = [p for topic in kept for p in topic["passages"]]
    builder, ranges = Builder(), {}
    for i, (number, passage) in enumerate(documents(passages, texts, size_bytes, rng)):
        builder.add(f"Document {i + 1}:\n")
        at = builder.add(passage + "\n\n")
        if number is not None:
            ranges[number] = at
    questions = []
    for topic in rng.sample(range(len(kept)), n_questions):
        first = sum(len(t["passages"]) for t in kept[:topic])
        if hops == 2:
            asked, used = kept[topic]["both"], range(first, first + 2)
        else:
            which = rng.randrange(2)
            asked, used = kept[topic]["single"][which], [first + which]
        questions.append({"question": asked["question"] + " Answer in a few words.", "evidence": sorted(ranges[i] for i in used),
                          "answers": asked["answers"]})
    return builder.text(), questions


def maker(hops):
    return lambda texts, size_bytes, rng, n_questions: make(hops, texts, size_bytes, rng, n_questions)


TASKS = [Task("qa_1", "ruler", maker(1), "any", 32, per_text=4), Task("qa_2", "ruler", maker(2), "any", 32, per_text=4)]
