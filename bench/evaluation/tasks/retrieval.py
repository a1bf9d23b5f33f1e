"""Key-value pairs, a pass key, a string of digits: the synthetic retrieval tasks of InfiniteBench (arXiv 2402.13718, section 3).

The paper: a JSON object of UUIDs, one value asked for; a pass key of five digits, and a number of ten digits with repeated ones, in
repeated noise. Ours: the same with words and noise of our own. One object is asked for several keys; a pass key and a number have
texts of their own.
"""
from tasks import niah, place
from tasks.task import Task
from tasks.words import Words

PAIR_BYTES = 82


def make_pairs(_, size_bytes, rng, n_questions):
    words = Words(rng)
    pairs = [(words.uuid(), words.uuid()) for _ in range(max(size_bytes // PAIR_BYTES, n_questions))]
    lines = [f'"{key}": "{value}"' for key, value in pairs]
    text = ("{\n" + ",\n".join(lines) + "\n}\n").encode()
    questions = []
    for i in sorted(rng.sample(range(len(pairs)), n_questions)):
        begin = text.index(lines[i].encode())
        questions.append({"question": f'What is the value of the key "{pairs[i][0]}" in the JSON object?',
                          "evidence": [[begin, begin + len(lines[i])]], "answers": [pairs[i][1]]})
    return text, questions


def hidden(sentence, question, answer, size_bytes, rng):
    units = niah.noise(place.room_for(size_bytes, [sentence]))
    text, ranges = place.sprinkle(units, [(rng.random(), sentence)])
    return text, [{"question": question, "evidence": ranges, "answers": [answer]}]


def make_passkey(_, size_bytes, rng, __):
    key = Words(rng).number(5)
    return hidden(f"The pass key is {key}. Keep it in mind: {key} is the pass key.", "What is the pass key?", key, size_bytes, rng)


def make_digits(_, size_bytes, rng, __):
    """Runs of equal digits, so that a model that skips some is found out."""
    digits = ""
    while len(digits) < 10:
        digit = rng.choice([d for d in "0123456789" if d != digits[-1:]])
        digits += digit * rng.randrange(1, 5)
    digits = digits[:10]
    return hidden(f"The sequence of digits is {digits}. Keep it in mind: {digits} is the sequence of digits.",
                  "What is the sequence of digits?", digits, size_bytes, rng)


TASKS = [Task("kv_retrieval", "infinitebench", make_pairs, "all", 128, per_text=4),
         Task("passkey", "infinitebench", make_passkey, "all", 24), Task("number_string", "infinitebench", make_digits, "all", 32)]
