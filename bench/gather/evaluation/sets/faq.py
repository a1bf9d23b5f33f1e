"""A text of a FAQ's answers, without their headings, among other pages of the same manual; the headings are the questions.

Half of the text at most is answers, so the rest of a small FAQ's text is filler. Pairs of questions make up the set `several`.
"""
import random
import re

from lib.test_text import Builder, TestText

MOST_QUESTIONS = 120
MOST_PAIRS = 40
LEAST_WORDS = 4
LEAST_ANSWER_BYTES = 120  # shorter answers say little beyond "Yes" or "see there"
SLICE_BYTES = 24_000  # of a page of filler at most, so that there are many


def is_question(heading):
    return heading.rstrip(" )").endswith("?") and len(heading.split()) >= LEAST_WORDS


def answers(pages, dropped=()):
    """[(page, question, answer)] of pages {name: sections}; `dropped` are questions that make no sense on their own."""
    found = []
    for page, sections in pages.items():
        for section in sections:
            question = re.sub(r"^[\d.]+\s+", "", section.heading).strip()
            if is_question(question) and question not in dropped and len(section.body.encode()) >= LEAST_ANSWER_BYTES:
                found.append((page, question, section.body))
    return found


def slices(filler, rng):
    """Pieces of pages {name: text}, cut between paragraphs, in an order drawn."""
    pieces = []
    for name in sorted(filler):
        paragraphs, size = [[]], 0
        for paragraph in re.split(r"\n{2,}", filler[name]):
            if size > SLICE_BYTES:
                paragraphs.append([])
                size = 0
            paragraphs[-1].append(paragraph)
            size += len(paragraph.encode())
        pieces += ["\n\n".join(p) for p in paragraphs]
    rng.shuffle(pieces)
    return pieces


def choose(found, size_bytes, rng):
    """Answers drawn until they fill half of the text, in the FAQ's order."""
    order, chosen, total = list(range(len(found))), [], 0
    rng.shuffle(order)
    for i in order:
        size = len(found[i][2].encode())
        if len(chosen) < MOST_QUESTIONS and total + size <= size_bytes / 2:
            chosen.append(i)
            total += size
    return [found[i] for i in sorted(chosen)], total


def documents(chosen, filler, size_bytes, rng):
    """[[(question or None, text)]]: FAQ pages and slices of filler in an order drawn."""
    pages = {}
    for page, question, answer in chosen:
        pages.setdefault(page, []).append((question, answer))
    result, total = list(pages.values()), sum(len(a.encode()) for _, _, a in chosen)
    for piece in slices(filler, rng):
        if total >= size_bytes:
            break
        cut = piece.encode()[:size_bytes - total].decode(errors="ignore")
        if len(cut) < len(piece):
            cut = cut[:cut.rfind("\n") + 1 or None]
        result.append([(None, cut)])
        total += len(cut.encode()) or size_bytes
    if total < 0.9 * size_bytes:
        raise ValueError(f"the FAQ and its filler have {total:,} bytes, expected {size_bytes:,}")
    rng.shuffle(result)
    return result


def pairs(name, questions, rng):
    order = list(questions)
    rng.shuffle(order)
    result = []
    for i in range(min(MOST_PAIRS, len(order) // 2)):
        one, other = order[2 * i], order[2 * i + 1]
        then = other["question"]
        if not re.match(r"I\b|[A-Z]{2}", then):
            then = then[0].lower() + then[1:]
        result.append({"id": f"{name}-pair-{i}", "set": "several", "kind": "two questions",
                       "question": f"{one['question']} And {then}", "evidence": one["evidence"] + other["evidence"]})
    return result


def make(name, pages, filler, size_bytes, versions, dropped=()):
    """TestText of FAQ pages {name: sections} and filler {name: text}."""
    rng = random.Random(f"{name} {size_bytes}")
    chosen, _ = choose(answers(pages, dropped), size_bytes, rng)
    builder, questions = Builder(), []
    for document in documents(chosen, filler, size_bytes, rng):
        for question, text in document:
            evidence = builder.add(text + "\n\n")
            if question:
                questions.append({"id": f"{name}-{len(questions)}", "set": name, "kind": "FAQ", "question": question,
                                  "evidence": [evidence]})
        builder.add("\n")
    return TestText(name, builder.text(), questions + pairs(name, questions, rng), versions)
