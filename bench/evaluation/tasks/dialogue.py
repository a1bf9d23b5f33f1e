"""A long dialogue: two friends write to each other over a year, and facts about them change.

No one paper's task: the kinds of question are those of LongMemEval (arXiv 2410.10813, section 3). Ours is made by a simulator. Each
session has a date; in it one of the two says something about themselves (a fact), between talk about books that they read to each
other. Later sessions change half of the facts. Questions ask for a fact that never changed, for the latest state of one that did (an
update), for when something was said (a time), and for something that was never said (an absence; the right reply says so). One text is
asked all its questions.
"""
import datetime
import itertools
from dataclasses import dataclass, field

from lib.test_text import Builder
from tasks import sources
from tasks.task import Task

FRIENDS = (("Noor", "Emil"), ("Saskia", "Tariq"), ("Mei", "Gustav"))
# (topic, what is said, question for the state, values)
TOPICS = (
    ("job", "I now work as a {}.", "What is {}'s job?", ("beekeeper", "translator", "piano tuner", "locksmith", "florist")),
    ("town", "I have moved to {}.", "Which town does {} live in?", ("Trondheim", "Ghent", "Tartu", "Coimbra", "Graz")),
    ("pet", "I have a {} at home now, and no other animal.", "What animal does {} keep?",
     ("tortoise", "ferret", "canary", "greyhound", "hamster")),
    ("sport", "My only sport these days is {}.", "Which sport does {} do?", ("fencing", "rowing", "judo", "archery", "curling")),
    ("instrument", "I am learning to play the {}.", "Which instrument is {} learning?", ("cello", "oboe", "banjo", "harp", "trombone")),
    ("vehicle", "I get around on a {} now.", "What does {} get around on?",
     ("moped", "tandem", "scooter", "motorcycle", "unicycle")),
    ("drink", "In the mornings I drink nothing but {}.", "What does {} drink in the mornings?",
     ("cocoa", "rooibos", "espresso", "buttermilk", "matcha")),
    ("language", "I have begun to learn {}.", "Which language has {} begun to learn?",
     ("Finnish", "Swahili", "Basque", "Korean", "Welsh")),
)
ABSENT = (("What is the name of {}'s sister?", "sister"), ("What colour is {}'s front door?", "front door"),
          ("Which school did {} go to?", "school"), ("What is {}'s shoe size?", "shoe size"), ("When is {}'s birthday?", "birthday"))
OPENINGS = ("How good to hear from you!", "It has been a busy time here.", "I was just thinking of you.", "Thank you for your last letter.")
READING = ("I am reading a novel. Listen to this:", "Here is a page that I liked:", "Let me read you something:", "This made me smile:")
NOT_SAID = ("not mention~", "not said", "not say", "not state~", "not specif~", "not provide~", "not given", "not know~", "unknown",
            "no information", "never mention~", "never said", "no mention")
FIRST_DAY = datetime.date(2031, 1, 5)
BYTES_PER_SESSION = 2_400
LEAST_SESSIONS, MOST_SESSIONS = 12, 300
SHARE_CHANGED = 0.5
PER_TEXT = 8
KINDS = ("fact", "update", "time", "absence")


def spoken(day):
    return f"{day.day} {day:%B} {day.year}"


def plan(friends, n_sessions, rng):
    """[(session, person, topic, value)], in order: one value of each topic that was drawn for a person, or two."""
    events = []
    for person in friends:
        for topic in TOPICS:
            values = rng.sample(topic[3], 2)
            first, second = sorted(rng.sample(range(n_sessions), 2))
            events.append((first, person, topic, values[0]))
            if rng.random() < SHARE_CHANGED:
                events.append((second, person, topic, values[1]))
    return sorted(events, key=lambda e: e[0])


def fact(events, where, at, asked_for):
    """What somebody said once, or latest."""
    _, person, topic, value = events[at]
    return {"question": topic[2].format(person)[:-1] + asked_for + "?", "evidence": [where.said[at]], "answers": [value]}


def time(events, where, at):
    session, person, topic, value = events[at]
    day = where.days[session]
    return {"question": f'On which day did {person} write "{topic[1].format(value)}"?', "evidence": [where.dates[session], where.said[at]],
            "answers": [spoken(day), f"{day:%B} {day.day}"]}


def absence(person, asked):
    return {"question": f"{asked.format(person)} If nobody says so, answer: not mentioned.", "evidence": [], "answers": list(NOT_SAID)}


def in_turn(rng, values):
    """The values in an order drawn, without end."""
    return itertools.cycle(rng.sample(values, len(values)))


def questions_of(events, friends, where, rng, n):
    """n questions, of the four kinds in turn."""
    states = {}
    for i, (_, person, topic, _) in enumerate(events):
        states.setdefault((person, topic[0]), []).append(i)
    once, twice = ([of[-1] for of in states.values() if len(of) == n_said] for n_said in (1, 2))
    facts, updates, times = in_turn(rng, once or twice), in_turn(rng, twice or once), in_turn(rng, once + twice)
    absent = in_turn(rng, [(person, asked) for person in friends for asked, _ in ABSENT])
    ask = {"fact": lambda: fact(events, where, next(facts), ""),
           "update": lambda: fact(events, where, next(updates), " now, after the latest letter"),
           "time": lambda: time(events, where, next(times)), "absence": lambda: absence(*next(absent))}
    return [{**ask[kind](), "kind": kind} for kind in itertools.islice(itertools.cycle(KINDS), n)]


@dataclass
class Where:
    """Where things stand in the text: the sentence of each event and the date of each session."""
    days: list
    said: list
    dates: list = field(default_factory=list)


def write(builder, session, events, friends, pages, where, rng):
    """One session: each friend's letter, with what is said in it and with half of the pages."""
    where.dates.append(builder.add(f"=== {spoken(where.days[session])} ===\n\n"))
    for turn, person in enumerate(friends):
        builder.add(f"{person}: {rng.choice(OPENINGS)} ")
        for i, (of_session, speaker, topic, value) in enumerate(events):
            if (of_session, speaker) == (session, person):
                where.said[i] = builder.add(topic[1].format(value) + " ")
        mine = pages[turn * len(pages) // 2:(turn + 1) * len(pages) // 2]
        builder.add((rng.choice(READING) + "\n\n" + "".join(mine) if mine else "").rstrip() + "\n\n")


def make(texts, size_bytes, rng, n_questions):
    friends = rng.choice(FRIENDS)
    n_sessions = max(LEAST_SESSIONS, min(size_bytes // BYTES_PER_SESSION, MOST_SESSIONS))
    events = plan(friends, n_sessions, rng)
    bare = sum(len(topic[1]) + 120 for _, _, topic, _ in events) + 60 * n_sessions
    pages = sources.take(texts.novels(), max(size_bytes - bare, 1), rng, [name for pair in FRIENDS for name in pair])
    where = Where([FIRST_DAY + datetime.timedelta(days=round(365 * i / n_sessions)) for i in range(n_sessions)], [None] * len(events))
    builder = Builder()
    for session in range(n_sessions):
        share = pages[session * len(pages) // n_sessions:(session + 1) * len(pages) // n_sessions]
        write(builder, session, events, friends, share, where, rng)
    return builder.text(), questions_of(events, friends, where, rng, n_questions)


TASKS = [Task("dialogue", "dialogue", make, "any", 32, per_text=PER_TEXT)]
