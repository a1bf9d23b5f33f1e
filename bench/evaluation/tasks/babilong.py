"""BABILong's first five tasks (arXiv 2406.10149): the facts of a bAbI world in order among the sentences of books.

The paper: stories of bAbI (arXiv 1502.05698) with one, two and three supporting facts and with two and three argument relations are
spread over books of PG-19; a reply is one word of the task's labels. Ours: the worlds come from a simulator of our own (babi.py),
with people and rooms that no book knows, and the books are Jane Austen's six novels. In qa2 the thing asked for is in somebody's
hands. In qa5 a question asks for the last such gift. Each question has a text of its own, as in the paper.
"""
from tasks import babi, place, sources
from tasks.task import Task

INSTRUCTION = "Facts about people, rooms and things are hidden in the text. {question} Answer with one word."


def make(tell, texts, size_bytes, rng, _):
    story, question, answer, support, labels = tell(rng)
    room = place.room_for(size_bytes, story)
    units = [s for p in sources.take(texts.novels(), room, rng, babi.PEOPLE) for s in sources.sentences(p)]
    text, ranges = place.sprinkle(units, list(zip(place.ascending(len(story), rng), story)))
    return text, [{"question": INSTRUCTION.format(question=question), "evidence": [ranges[i] for i in support], "answers": [answer],
                   "labels": list(labels)}]


def maker(tell):
    return lambda texts, size_bytes, rng, n_questions: make(tell, texts, size_bytes, rng, n_questions)


TASKS = [Task(f"babilong_{name}", "babilong", maker(tell), "label", 24) for name, tell in babi.STORIES.items()]
