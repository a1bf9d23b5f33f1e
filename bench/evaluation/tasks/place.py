"""Where facts come to stand in filler."""
from lib.test_text import Builder


def sprinkle(units, facts):
    """(text, ranges): each fact, a pair (place in [0, 1], sentence), between two units, in the units' own spacing.

    A unit ends in its white space; facts with one place keep their order.
    """
    builder, ranges = Builder(), [None] * len(facts)
    order = sorted(range(len(facts)), key=lambda i: facts[i][0])
    sizes = [len(unit.encode()) for unit in units]
    total, passed, spacing = sum(sizes) or 1, 0, "\n"
    for unit, size in zip([*units, ""], [*sizes, 0]):
        while order and (facts[order[0]][0] * total <= passed or not unit):
            ranges[order[0]] = builder.add(facts[order[0]][1] + spacing)
            order.pop(0)
        builder.add(unit)
        passed += size
        spacing = unit[len(unit.rstrip()):] or "\n"
    return builder.text(), ranges


def room_for(size_bytes, facts):
    """Bytes of filler beside the facts."""
    return max(size_bytes - sum(len(fact.encode()) + 1 for fact in facts), 1)


def scattered(n, rng):
    """n places in (0, 1), one in each n-th of the text, in an order drawn."""
    places = [(i + rng.random()) / n for i in range(n)]
    rng.shuffle(places)
    return places


def ascending(n, rng):
    """n places in (0, 1) anywhere, in order."""
    return sorted(rng.random() for _ in range(n))
