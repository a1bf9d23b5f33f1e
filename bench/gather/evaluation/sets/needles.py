"""160 facts alike, five about each of 32 warehouses, drawn from a seed, between verses of the Bible."""
import random
import re
import sys

from lib.fetch import installed_version
from lib.paths import ROOT
from lib.test_text import TestText, spread, take_bytes

sys.path.insert(0, str(ROOT / "scripts"))
import haystack  # noqa: E402

BYTES_PER_TOKEN = 3.6
VERSES = "psalms1:1-revelation22:21"
PLACES = ("Ashford", "Bramley", "Caldwell", "Dunmore", "Elmstead", "Farnham", "Glenfield", "Hartley", "Ilkeston", "Kirkby",
          "Langford", "Marlow", "Norwood", "Oakham", "Penrith", "Redhill", "Selby", "Thornton", "Upton", "Wakefield", "Yardley",
          "Barnsley", "Clifton", "Driffield", "Everton", "Felixstowe", "Grantham", "Hexham", "Kendal", "Ludlow", "Malton", "Ripon")
SURNAMES = ("Hobbs", "Pike", "Larkin", "Mosley", "Tate", "Quill", "Fenner", "Brodie", "Stubbs", "Yates", "Crane", "Dobson")
KINDS = (
    ("The access code of the {} warehouse is {}.", "What is the access code of the {} warehouse?",
     lambda rng: rng.randrange(10000, 100000)),
    ("The monthly rent of the {} warehouse is {} crowns.", "What is the monthly rent of the {} warehouse?",
     lambda rng: rng.randrange(800, 9000)),
    ("The night watchman of the {} warehouse is called {}.", "What is the night watchman of the {} warehouse called?",
     lambda rng: f"{rng.choice('ABCDEFGHJKLM')}. {rng.choice(SURNAMES)}"),
    ("The floor area of the {} warehouse is {} square yards.", "What is the floor area of the {} warehouse?",
     lambda rng: rng.randrange(300, 7000)),
    ("The telephone extension of the {} warehouse is {}.", "What is the telephone extension of the {} warehouse?",
     lambda rng: rng.randrange(100, 1000)),
)


def make(_, size_tokens):
    rng = random.Random("needles 3")
    facts = [(s.format(place, draw(rng)), q.format(place)) for place in PLACES for s, q, draw in KINDS]
    verses = re.split(r"(?m)^(?=  \d+ )", haystack.bible(VERSES))
    units = take_bytes(verses, int(size_tokens * BYTES_PER_TOKEN))
    order = [(i + rng.random()) / len(facts) for i in range(len(facts))]
    rng.shuffle(order)
    text, ranges = spread(units, [(place, sentence) for place, (sentence, _) in zip(order, facts)])
    questions = [{"id": f"needles-{i}", "set": "needles", "kind": "one of many alike", "question": facts[i][1], "evidence": [ranges[i]]}
                 for i in range(len(facts))]
    return TestText("needles", text, questions, {"Debian bible-kjv": installed_version("bible-kjv")})
