"""Keys and values: words, numbers, UUIDs, none given twice."""
import uuid

ADJECTIVES = """amber ancient brisk bronze calm careful chilly clever coastal copper crimson curious dapper distant dusty eager
faded fearless feathered fierce floral frosty gentle gilded golden graceful hollow humble icy idle indigo ivory jagged jolly keen
lavish leafy lively lonely lucky marble mellow misty modest mossy muted narrow nimble noble northern orange pale patient pearly
playful polished proud purple quaint quiet rapid ragged rustic salty scarlet shiny silent silver sleepy slender smoky snowy solemn
southern speckled spiral stately stormy sturdy sunny swift tangled tidy timid tranquil velvet vivid wandering warm weathered
western whispering wooden young zealous""".split()
NOUNS = """acorn anchor anvil badger banner basket beacon beetle bell birch boulder bramble bridge bucket button cabin candle canoe
canyon castle cedar chimney clover comet compass coral cottage cradle crane crystal curtain dagger daisy dolphin drum eagle easel
ember falcon feather fern fiddle flute forest fountain fox garden glacier goblet granite harbor harp hawk hedge heron island
jacket kettle kite ladder lantern lemon lighthouse lily lizard locket magnet maple marsh meadow mirror mitten needle nettle oak
orchard otter owl paddle parrot pebble pepper pigeon pillow plum pond quill rabbit raven ribbon river robin saddle sail
sparrow spoon squirrel statue swallow teapot thistle thunder ticket tiger tower trumpet tulip turtle valley violin walnut
whistle willow window wolf""".split()

MOST_DRAWS = 1_000


class Words:
    """Draws from a random generator, none twice."""

    def __init__(self, rng):
        self.rng, self.given = rng, set()

    def once(self, draw):
        for _ in range(MOST_DRAWS):
            value = draw()
            if value not in self.given:
                self.given.add(value)
                return value
        raise ValueError(f"{len(self.given):,} keys and values leave hardly any other; take fewer tokens")

    def word(self):
        """An adjective and a noun; two adjectives once many are given."""
        n_adjectives = 1 if len(self.given) < len(ADJECTIVES) * len(NOUNS) // 4 else 2
        return self.once(lambda: "-".join([*(self.rng.choice(ADJECTIVES) for _ in range(n_adjectives)), self.rng.choice(NOUNS)]))

    def number(self, n_digits=7):
        return self.once(lambda: str(self.rng.randrange(10 ** (n_digits - 1), 10 ** n_digits)))

    def uuid(self):
        return self.once(lambda: str(uuid.UUID(int=self.rng.getrandbits(128), version=4)))

    def letters(self, n, alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        return self.once(lambda: "".join(self.rng.choices(alphabet, k=n)))
