"""Needles in a haystack: RULER's eight retrieval tasks (arXiv 2404.06654, section 3 and appendix B).

The paper: a text hides sentences that each give a key a value. Single: one needle, in repeated noise or in essays. Multi-key: more
needles alike, up to a text of nothing else; one is asked. Multi-value: one key has four values, all asked. Multi-query: four keys are
asked together. Ours: the sentences and the noise are our own, and the essays are public-domain texts of Debian's packages instead
of one author's. A text has needles for several questions, as reading it costs most: so in a `single` text the other questions'
needles are distractors, which the paper's has not (--per-text 1 is the paper's).
"""
from dataclasses import dataclass

from tasks import place, sources
from tasks.task import Task
from tasks.words import Words

NOISE = ("The road is long. ", "The rain is cold. ", "The lamp is lit. ", "Off we go again. ", "Home is far away.\n")
NEEDLE = "The secret {kind} of {key} is {value}."
ALIKE = 3  # needles that nobody asks for, for each question of a multi-key text in essays
VALUES = {"number": Words.number, "uuid": Words.uuid, "word": Words.word}


@dataclass(frozen=True)
class Form:
    haystack: str  # noise, essays or needles
    key: str = "word"
    value: str = "number"
    alike: int = 0  # needles for each question that are not asked
    keys: int = 1  # that a question asks for
    values: int = 1  # that a key has


FORMS = {
    "niah_single_1": Form("noise"),
    "niah_single_2": Form("essays"),
    "niah_single_3": Form("essays", value="uuid"),
    "niah_multikey_1": Form("essays", alike=ALIKE),
    "niah_multikey_2": Form("needles"),
    "niah_multikey_3": Form("needles", key="uuid", value="uuid"),
    "niah_multivalue": Form("essays", values=4),
    "niah_multiquery": Form("essays", keys=4),
}


def noise(size_bytes):
    units, total = [], 0
    while total < size_bytes:
        units.append(NOISE[len(units) % len(NOISE)])
        total += len(units[-1])
    return units


def needle_lines(form, words, size_bytes):
    units, total = [], 0
    while total < size_bytes:
        units.append(sentence(form, VALUES[form.key](words), VALUES[form.value](words)) + "\n")
        total += len(units[-1])
    return units


def haystack(form, texts, words, size_bytes, rng):
    if form.haystack == "noise":
        return noise(size_bytes)
    if form.haystack == "needles":
        return needle_lines(form, words, size_bytes)
    return [s for p in sources.take(texts.essays(), size_bytes, rng) for s in sources.sentences(p)]


def sentence(form, key, value):
    return NEEDLE.format(kind=form.value, key=key, value=value)


def asked(form, keys):
    if form.keys > 1:
        return f"What are the secret {form.value}s of {', '.join(keys[:-1])} and {keys[-1]}?"
    if form.values > 1:
        return f"What are all the secret {form.value}s of {keys[0]}?"
    return f"What is the secret {form.value} of {keys[0]}?"


def make(form, texts, size_bytes, rng, n_questions):
    words = Words(rng)
    groups = [[(VALUES[form.key](words), [VALUES[form.value](words) for _ in range(form.values)]) for _ in range(form.keys)]
              for _ in range(n_questions)]
    others = [(VALUES[form.key](words), VALUES[form.value](words)) for _ in range(form.alike * n_questions)]
    needles = [sentence(form, key, value) for group in groups for key, values in group for value in values]
    needles += [sentence(form, key, value) for key, value in others]
    units = haystack(form, texts, words, place.room_for(size_bytes, needles), rng)
    text, ranges = place.sprinkle(units, list(zip(place.scattered(len(needles), rng), needles)))
    n = form.keys * form.values
    return text, [{"question": asked(form, [key for key, _ in group]), "evidence": sorted(ranges[i * n:(i + 1) * n]),
                   "answers": [value for _, values in group for value in values]} for i, group in enumerate(groups)]


def maker(form):
    return lambda texts, size_bytes, rng, n_questions: make(form, texts, size_bytes, rng, n_questions)


def task(name, form):
    """A reply may repeat the question, and a UUID is some thirty tokens."""
    several = form.keys * form.values > 1
    return Task(name, "ruler", maker(form), "all", 128 if several or form.value == "uuid" else 64, per_text=2 if several else 4)


TASKS = [task(name, form) for name, form in FORMS.items()]
