"""Questions in two steps that share no word with their second evidence.

"Daniel took the lantern." stands far before "Daniel went to the cellar."; "Where is the lantern?" needs both.
"""
import random

from lib import fortunes
from lib.test_text import TestText, spread

BYTES_PER_TOKEN = 3.8
LEAST_APART = 0.15  # of the text
PEOPLE = """Alistair Beatrix Conrad Dagmar Edwina Fabian Gretchen Horatio Imogen Jasper Katrina Leopold Marigold Nigel Ottilie
Percival Quentin Rosalind Sigmund Tabitha Ursula Valentin Winifred Xenia Yvette Zoltan Ambrose Bridget Clarissa Desmond Eleanora
Ferdinand Gwendolyn Hubert Isolde Jocelyn Kasimir Lavinia Mortimer Nerissa Oswald Philippa Reginald Sabina Thaddeus Ulrich
Verity Wilhelmina Yolanda Zelda Barnaby Cordelia Dorian Emmeline Fergus Griselda""".split()
THINGS = """lantern thimble telescope umbrella accordion compass teapot spade violin hourglass typewriter birdcage harpoon
corkscrew sledge saddle trumpet candlestick microscope rucksack hammock barometer doll ladder sextant toolbox sewing-machine
wheelbarrow chessboard snorkel tambourine globe megaphone bellows easel pitchfork metronome cradle anvil periscope parasol
unicycle gramophone sundial tripod walking-stick binoculars abacus tarpaulin crossbow banjo padlock stopwatch thermos
pocket-knife music-box""".split()
PLACES = """cellar attic greenhouse stable chapel boathouse pantry orchard laundry library courtyard watchtower smithy harbour
gatehouse vineyard brewery quarry mill bakery lighthouse barn dairy conservatory workshop tannery icehouse dovecote cloister
belfry kennel sawmill foundry cottage dormitory refectory lodge pavilion aquarium observatory planetarium warehouse
post-office town-hall railway-station apiary distillery henhouse bathhouse schoolroom treasury woodshed kitchen garage
playground crypt""".split()
TOOK = ("{} took the {}.", "{} picked up the {}.", "{} carried the {} away.", "{} grabbed the {}.")
WENT = ("{} went to the {}.", "{} walked into the {}.", "{} moved to the {}.", "{} is now in the {}.")


def make(fetcher, size_tokens):
    rng = random.Random("twohop 5")
    n = min(len(PEOPLE), len(THINGS), len(PLACES))
    people, things, places = (rng.sample(words, n) for words in (PEOPLE, THINGS, PLACES))
    facts = []
    for person, thing, place in zip(people, things, places):
        first = rng.uniform(0.01, 0.98 - LEAST_APART)
        facts += [(first, rng.choice(TOOK).format(person, thing.replace("-", " "))),
                  (rng.uniform(first + LEAST_APART, 0.99), rng.choice(WENT).format(person, place.replace("-", " ")))]
    text, ranges = spread(fortunes.units(fetcher, int(size_tokens * BYTES_PER_TOKEN), "twohop", PEOPLE), facts)
    questions = [{"id": f"twohop-{i}", "set": "twohop", "kind": "two steps", "question": f"Where is the {things[i].replace('-', ' ')}?",
                  "evidence": [ranges[2 * i], ranges[2 * i + 1]]} for i in range(n)]
    return TestText("twohop", text, questions, fetcher.versions_of("fortunes"))
