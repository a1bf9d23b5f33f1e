"""Worlds of bAbI (arXiv 1502.05698): people move, take, drop and give things, and rooms lie beside each other.

A story is a list of sentences; a question knows which of them support its answer. Names and rooms are our own, and none stands in
the books around them.
"""
from dataclasses import dataclass, field

PEOPLE = ("Kofi", "Ingrid", "Tomasz", "Yuki", "Priya", "Mateo")
PLACES = ("pantry", "workshop", "greenhouse", "laundry", "observatory", "boathouse")
THINGS = ("kettle", "trowel", "skateboard", "torch")
GIFTS = ("kettle", "trowel", "skateboard")
MOVES = ("{} went to the {}.", "{} walked to the {}.", "{} moved to the {}.", "{} travelled to the {}.")
TAKES = ("{} took the {} there.", "{} picked up the {} there.", "{} got the {} there.")
DROPS = ("{} put down the {} there.", "{} left the {} there.", "{} dropped the {} there.")
GIVES = ("{} gave the {} to {}.", "{} handed the {} to {}.", "{} passed the {} to {}.")
OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}


@dataclass
class World:
    """Where everybody and everything is, by the number of the sentence that says so."""
    rng: object
    story: list = field(default_factory=list)
    room_of: dict = field(default_factory=dict)  # person: (room, sentence)
    holder_of: dict = field(default_factory=dict)  # thing: (person, sentence)
    left_in: dict = field(default_factory=dict)  # thing: room, where it lies
    rooms_of: dict = field(default_factory=dict)  # thing: [(room, sentences that say how it came from the room before)], in order

    def say(self, forms, *words):
        self.story.append(self.rng.choice(forms).format(*words))
        return len(self.story) - 1

    def been(self, thing, room, sentences):
        rooms = self.rooms_of.setdefault(thing, [])
        if not rooms or rooms[-1][0] != room:
            rooms.append((room, sentences))

    def move(self, person):
        now, came = self.room_of.get(person, (None, None))
        room = self.rng.choice([p for p in PLACES if p != now])
        at = self.say(MOVES, person, room)
        self.room_of[person] = (room, at)
        for thing, (holder, taken) in self.holder_of.items():
            if holder == person:
                self.been(thing, room, [came, taken, at])

    def take(self, person, thing):
        room, moved = self.room_of[person]
        at = self.say(TAKES, person, thing)
        self.left_in.pop(thing, None)
        self.holder_of[thing] = (person, at)
        self.been(thing, room, [moved, at])

    def drop(self, person, thing):
        self.holder_of.pop(thing)
        self.say(DROPS, person, thing)
        self.left_in[thing] = self.room_of[person][0]

    def step(self):
        """One thing happens: mostly somebody moves, at times takes what lies there or nobody has touched, or puts something down."""
        person = self.rng.choice(PEOPLE)
        held = [t for t, (holder, _) in self.holder_of.items() if holder == person]
        here = self.room_of.get(person, (None,))[0]
        free = [t for t in THINGS if t not in self.holder_of and self.left_in.get(t, here) == here]
        chance = self.rng.random()
        if here and free and chance < 0.3:
            self.take(person, self.rng.choice(free))
        elif held and chance < 0.45:
            self.drop(person, self.rng.choice(held))
        else:
            self.move(person)


def single_fact(rng, n_sentences=10):
    """qa1: where a person is: the last sentence that moves them."""
    world = World(rng)
    for _ in range(n_sentences):
        world.move(rng.choice(PEOPLE))
    person = rng.choice(sorted(world.room_of))
    room, at = world.room_of[person]
    return world.story, f"Where is {person}?", room, [at], PLACES


def two_facts(rng, n_sentences=24):
    """qa2: where a thing is: who has it, and where they are; or who put it down, and where."""
    world = World(rng)
    while len(world.story) < n_sentences or not world.holder_of:
        world.step()
    thing = rng.choice(sorted(world.holder_of))
    person, taken = world.holder_of[thing]
    room, moved = world.room_of[person]
    return world.story, f"Where is the {thing}?", room, sorted([taken, moved]), PLACES


def three_facts(rng, n_sentences=36):
    """qa3: where a thing was before it was in its last room: somebody took it, came to the one room, went to the other."""
    while True:
        world = World(rng)
        for _ in range(n_sentences):
            world.step()
        things = [t for t, rooms in sorted(world.rooms_of.items()) if len(rooms) >= 2 and [r for r, _ in rooms].count(rooms[-1][0]) == 1]
        if things:
            break
    thing = rng.choice(things)
    (room, _), (last, support) = world.rooms_of[thing][-2:]
    return world.story, f"Where was the {thing} before it was in the {last}?", room, sorted(support), PLACES


def two_relations(rng):
    """qa4: what lies on one side of a room, with two sentences about the room in between."""
    middle, one, other = rng.sample(PLACES, 3)
    side = rng.choice(sorted(OPPOSITE))
    story = [f"The {one} is {side} of the {middle}.", f"The {middle} is {side} of the {other}."]
    answers = [(f"What is {side} of the {middle}?", one, story[0]), (f"What is the {middle} {side} of?", other, story[1])]
    question, answer, sentence = rng.choice(answers)
    rng.shuffle(story)
    return story, question, answer, [story.index(sentence)], PLACES


def three_relations(rng, n_sentences=16):
    """qa5: who gave what to whom; the last such sentence counts."""
    world, gifts = World(rng), []
    while len(world.story) < n_sentences or not gifts:
        if rng.random() < 0.4:
            giver, taker = rng.sample(PEOPLE, 2)
            thing = rng.choice(GIFTS)
            gifts.append((giver, thing, taker, world.say(GIVES, giver, thing, taker)))
        else:
            world.move(rng.choice(PEOPLE))
    giver, thing, taker, at = rng.choice(gifts)
    latest = {"giver to taker": [g for g in gifts if (g[0], g[2]) == (giver, taker)][-1][3],
              "thing to taker": [g for g in gifts if g[1:3] == (thing, taker)][-1][3],
              "giver of thing": [g for g in gifts if g[:2] == (giver, thing)][-1][3]}
    asked = {"giver to taker": (f"What did {giver} last give to {taker}?", thing),
             "thing to taker": (f"Who last gave the {thing} to {taker}?", giver),
             "giver of thing": (f"Who did {giver} last give the {thing} to?", taker)}
    kinds = [kind for kind in asked if latest[kind] == at]
    if not kinds:
        return three_relations(rng, n_sentences)
    question, answer = asked[rng.choice(kinds)]
    return world.story, question, answer, [at], GIFTS if answer in GIFTS else PEOPLE


STORIES = {"qa1": single_fact, "qa2": two_facts, "qa3": three_facts, "qa4": two_relations, "qa5": three_relations}
