"""A long real text with invented facts deep inside, for the demo and the recall test.

The text is a range of the King James Bible as Debian's bible-kjv prints it. The facts are drawn from a seed, out of
syllables and digits, so no model can know them. Standard library only.
"""
import random
import re
import shutil
import subprocess
from dataclasses import dataclass

BEGINNINGS = ("Vel", "Tarn", "Ond", "Bris", "Quor", "Ysm", "Drav", "Fenn", "Gal", "Hesk", "Jor", "Kel", "Lum", "Mor",
              "Nes", "Pell", "Rav", "Sil", "Thor", "Ulv", "Wend", "Zar", "Cald", "Ebr")
MIDDLES = ("a", "e", "i", "o", "u", "ar", "en", "il", "or", "un")
ENDINGS = ("mora", "wick", "relle", "holm", "dan", "tris", "vane", "gard", "lith", "sere", "bury", "noth", "quist", "ford")


@dataclass
class Fact:
    """A sentence in the text, what to ask about it, and what the answer must contain."""
    sentence: str
    question: str
    value: str
    begin_byte: int = 0  # of the sentence in the text
    end_byte: int = 0


class Names:
    """Invented names, no two alike."""

    def __init__(self, rng):
        self.rng, self.given = rng, set()

    def draw(self):
        while True:
            name = self.rng.choice(BEGINNINGS) + self.rng.choice(MIDDLES) + self.rng.choice(ENDINGS)
            if name not in self.given:
                self.given.add(name)
                return name


def digits(rng, n):
    return str(rng.randrange(10 ** (n - 1), 10 ** n))


def code(rng):
    return "-".join("".join(rng.choice("0123456789abcdef") for _ in range(n)) for n in (8, 4, 4))


def magic_number(rng, names):
    place, value = names.draw(), digits(rng, 7)
    return Fact(f"One of the special magic numbers for {place} is: {value}.",
                f"What is the special magic number for {place}?", value)


def passkey(rng, names):
    place, value = names.draw(), digits(rng, 5)
    return Fact(f"The pass key of the archive of {place} is {value}. Remember it. {value} is the pass key of {place}.",
                f"What is the pass key of the archive of {place}?", value)


def access_code(rng, names):
    ship, value = names.draw(), code(rng)
    return Fact(f"The access code of the ship {ship} is {value}.", f"What is the access code of the ship {ship}?", value)


def keeper(_, names):
    place, first, last = names.draw(), names.draw(), names.draw()
    return Fact(f"The keeper of the lighthouse of {place} is called {first} {last}.",
                f"What is the name of the keeper of the lighthouse of {place}?", f"{first} {last}")


KINDS = (magic_number, passkey, access_code, keeper)


def draw_facts(n, seed):
    rng = random.Random(seed)
    names = Names(rng)
    return [KINDS[i % len(KINDS)](rng, names) for i in range(n)]


def bible(verses):
    """The verses of a range such as judges1:1-ruth4:22, as a text for people, UTF-8."""
    if shutil.which("bible") is None:
        raise RuntimeError("the command `bible` is missing: apt-get install bible-kjv (./dev deps does it)")
    text = subprocess.run(["bible", "-l100", verses], check=True, capture_output=True, text=True).stdout
    if len(text) < 1000:
        raise RuntimeError(f"`bible -l100 {verses}` printed only {len(text)} bytes")
    return text


def insert(text, facts, seed):
    """`text` with each fact as a paragraph of its own between two verses, spread evenly with some jitter.

    None lies within the first or last twentieth of the text, because answers always see its edges. Fills in the facts'
    offsets, in bytes of the result's UTF-8.
    """
    rng = random.Random(f"{seed} places")
    gaps = [m.start() + 1 for m in re.finditer(r"\n(?=  \d+ )", text)]  # where a verse begins
    first, last = len(text) * 0.05, len(text) * 0.95
    inner = [g for g in gaps if first <= g <= last]
    if len(inner) < 4 * len(facts):
        raise ValueError(f"the text has {len(inner)} places for {len(facts)} facts; give it more text")
    order = list(facts)
    rng.shuffle(order)
    step = len(inner) / len(order)
    pieces, at, size_bytes = [], 0, 0
    for i, fact in enumerate(order):
        place = inner[int((i + rng.uniform(0.1, 0.9)) * step)]
        before = text[at:place] + "\n"
        size_bytes += len(before.encode())
        fact.begin_byte, fact.end_byte = size_bytes, size_bytes + len(fact.sentence.encode())
        after = "\n\n"
        size_bytes = fact.end_byte + len(after)
        pieces += [before, fact.sentence, after]
        at = place
    return "".join(pieces) + text[at:]


# The values that questions on the text itself ask for, as a model may write them.
IN_DIGITS = {"ninety and eight": "98", "six cubits and a span": "6 cubits and a span"}


def has_value(answer, value):
    """Whether the answer holds the value; ignores thousands separators, case and kinds of white space."""
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", " ".join(answer.split())).lower()
    values = {value.lower(), IN_DIGITS.get(value, value).lower()}
    return any(re.search(rf"(?<!\w){re.escape(v)}(?!\w)", plain) for v in values)


def covered(fact, sources):
    """Whether every byte of the fact's sentence lies inside the gathered passages."""
    at = fact.begin_byte
    for source in sorted(sources, key=lambda s: s["begin_byte"]):
        if source["begin_byte"] <= at:
            at = max(at, source["end_byte"])
    return at >= fact.end_byte
