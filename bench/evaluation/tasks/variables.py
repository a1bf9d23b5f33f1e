"""Variable tracking: RULER's multi-hop tracing (arXiv 2404.06654, section 3).

The paper: one variable gets a number, four more get their value from the one before, scattered in order through noise; all five
names are asked for. Ours: the same, with noise and words of our own. Each question has a text of its own, as in the paper.
"""
from tasks import niah, place
from tasks.task import Task
from tasks.words import Words

HOPS = 4


def chain(words):
    """(value, names, assignments)"""
    value, names = words.number(5), [words.letters(5) for _ in range(HOPS + 1)]
    return value, names, [f"VAR {name} = {'VAR ' + names[i - 1] if i else value}" for i, name in enumerate(names)]


def make(_, size_bytes, rng, n_questions):
    words, facts, chains = Words(rng), [], []
    for _ in range(n_questions):
        value, names, lines = chain(words)
        chains.append((value, names, range(len(facts), len(facts) + len(lines))))
        facts += zip(place.ascending(len(lines), rng), [line + "." for line in lines])
    units = niah.noise(place.room_for(size_bytes, [line for _, line in facts]))
    text, ranges = place.sprinkle(units, facts)
    return text, [{"question": f"Which variables have the value {value}, given directly or through other variables? Name all "
                               f"{len(names)}.", "evidence": [ranges[i] for i in at], "answers": names}
                  for value, names, at in chains]


TASKS = [Task("variable_tracking", "ruler", make, "all", 64)]
