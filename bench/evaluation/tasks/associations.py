"""Needles and questions that share no words: after NoLiMa (arXiv 2502.05167, section 3).

The paper: a needle says something of a character; the question asks for the character by what follows from it (who lives beside a
famous building has been to its city), so that words do not lead to it. The haystacks are books with conflicting sentences taken out.
Ours: associations of our own, in Jane Austen's novels; twelve needles, each about another person, share a text, which the paper's do
not (--per-text 1 is the paper's). tests/scripts checks that no needle shares a word with its question.
"""
from tasks import place, sources
from tasks.task import Task

# (needle, question); {} is the person.
PAIRS = (
    ("{} proposed marriage under the Eiffel Tower.", "Who has been to the capital of France?"),
    ("{} bathes in the river Ganges each spring.", "Who has visited India?"),
    ("{} has climbed all the steps of the Acropolis.", "Who knows Athens?"),
    ("{} rode a gondola past the Doge's palace.", "Who saw Venice?"),
    ("{} lost a glove on Red Square.", "Who travelled to Moscow?"),
    ("{} photographed kangaroos from the train window.", "Who toured Australia?"),
    ("{} watched the geysers at Yellowstone.", "Who spent a holiday in America?"),
    ("{} ran the last mile past Big Ben.", "Who took part in a race in London?"),
    ("{} refuses cheese and yoghurt, even a drop of milk in tea.", "Who cannot eat dairy products?"),
    ("{} would never touch bacon, mutton or fish.", "Who is a vegetarian?"),
    ("{} sneezes whenever the birches bloom.", "Who suffers from a pollen allergy?"),
    ("{} injects insulin before every meal.", "Who is diabetic?"),
    ("{} reads with the fingertips, dot by dot.", "Who is blind?"),
    ("{} takes a new bow to the luthier each year and tunes four strings by ear.", "Who plays the violin?"),
    ("{} spends the nights at the telescope, counting moons of Jupiter.", "Who is an astronomer?"),
    ("{} fills cavities and pulls molars from Monday to Friday.", "Who works as a dentist?"),
    ("{} drives the engine that rushes to burning houses.", "Whose job is it to put out fires?"),
    ("{} keeps forty hives behind the barn.", "Who produces honey?"),
    ("{} shoes horses at the forge.", "Who is a blacksmith?"),
    ("{} brought home a gold medal for the longest throw of the javelin.", "Who is an athlete?"),
    ("{} never misses a Friday prayer at the mosque.", "Who is a Muslim?"),
    ("{} said the vows of the convent at nineteen.", "Which person became a nun?"),
    ("{} blew out a hundred candles last June.", "Who is a centenarian?"),
    ("{} shares a birthday, a face and a mother with Leonie.", "Which person is a twin?"),
    ("{} buried a husband last autumn.", "Who is a widow?"),
    ("{} swore the oath in the White House.", "Who was made president?"),
    ("{} dictated the judgment and put on the robe again.", "Who sits on the bench of a court?"),
    ("{} left the orchestra pit with the baton still in hand.", "Which conductor is mentioned?"),
)
PEOPLE = ("Anouk", "Bogdan", "Chiara", "Dimitri", "Ewa", "Farid", "Gudrun", "Hamza", "Ilse", "Joaquin", "Kirsten", "Lorenzo", "Mirela",
          "Nikhil", "Oksana", "Pablo", "Quincy", "Renata", "Stellan", "Thandi", "Umberto", "Veronika", "Wanjiru", "Xander")
PER_TEXT = 12


def make(texts, size_bytes, rng, n_questions):
    pairs, people = rng.sample(PAIRS, n_questions), rng.sample(PEOPLE, n_questions)
    needles = [needle.format(person) for (needle, _), person in zip(pairs, people)]
    units = [s for p in sources.take(texts.novels(), place.room_for(size_bytes, needles), rng, (*PEOPLE, "Leonie"))
             for s in sources.sentences(p)]
    text, ranges = place.sprinkle(units, list(zip(place.scattered(len(needles), rng), needles)))
    return text, [{"question": f"{question} Answer with the name only.", "evidence": [at], "answers": [person]}
                  for (_, question), person, at in zip(pairs, people, ranges)]


TASKS = [Task("nolima", "nolima", make, "all", 24, per_text=PER_TEXT)]
