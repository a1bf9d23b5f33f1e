"""A long text with questions whose evidence is known, and what puts one together."""
import json
from dataclasses import dataclass, field

from lib.files import with_ending


@dataclass
class TestText:
    name: str
    text: bytes
    questions: list  # of {id, set, kind, question, evidence: [[begin_byte, end_byte], ...]}
    versions: dict = field(default_factory=dict)  # of the packages it was made of

    def write(self, stem, made_by):
        with_ending(stem, ".txt").write_bytes(self.text)
        with_ending(stem, ".json").write_text(json.dumps(
            {"made_by": made_by, "name": self.name, "versions": self.versions, "questions": self.questions}, indent=1))

    @classmethod
    def read(cls, stem, made_by):
        """None unless the same code made it."""
        try:
            kept = json.loads(with_ending(stem, ".json").read_text())
            if kept["made_by"] == made_by:
                return cls(kept["name"], with_ending(stem, ".txt").read_bytes(), kept["questions"], kept["versions"])
        except (OSError, ValueError, KeyError):
            pass
        return None


class Builder:
    """Pieces of a text, one after the other; add() says where a piece came to stand."""

    def __init__(self):
        self.pieces, self.size_bytes = [], 0

    def add(self, text):
        """The range of `text` without the white space around it."""
        raw = text.encode()
        begin = self.size_bytes + len(raw) - len(raw.lstrip())
        self.pieces.append(raw)
        self.size_bytes += len(raw)
        return [begin, begin + len(raw.strip())]

    def text(self):
        return b"".join(self.pieces)


def spread(units, facts):
    """(text, ranges): each fact, a pair (place in [0, 1), sentence), as a paragraph of its own between two units of filler."""
    builder, ranges = Builder(), [None] * len(facts)
    order = sorted(range(len(facts)), key=lambda i: facts[i][0])
    for at, unit in enumerate(units):
        while order and facts[order[0]][0] * len(units) < at:
            ranges[order[0]] = builder.add("\n" + facts[order[0]][1] + "\n\n")
            order.pop(0)
        builder.add(unit)
    for i in order:
        ranges[i] = builder.add("\n" + facts[i][1] + "\n")
    return builder.text(), ranges


def take_bytes(units, size_bytes):
    """As many units from the beginning as reach the size."""
    taken, total = [], 0
    for unit in units:
        if total >= size_bytes:
            return taken
        taken.append(unit)
        total += len(unit.encode())
    if total < size_bytes:
        raise ValueError(f"the filler has {total:,} bytes, expected {size_bytes:,}")
    return taken
