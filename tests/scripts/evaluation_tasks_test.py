"""The tasks of bench/evaluation: lengths, evidence, seeds; answers are found again by solvers that know only the text."""
import ast
import builtins
import random
import re
import sys
import symtable
import unittest
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench/evaluation"))
import tasks  # noqa: E402
from lib.keywords import is_right, plain, stands_in  # noqa: E402
from tasks import associations, babi, completion, dialogue, functions, place, qa, sources, word_counts  # noqa: E402
from tasks.task import fitted, text_of  # noqa: E402

FUNCTION_WORDS = set("""a about and any are as at be been by did do does each for from has have her his how i in is it its of on or that
the them there these they to was were what when where which who whose will with without would""".split())
GLOSSARY = re.findall("[a-z]+", Path(tasks.__file__).with_name("words.py").read_text())


def made_up_module(rng, number):
    """A module whose functions have docstrings, and one more that uses the module before it."""
    names = [f"{rng.choice(GLOSSARY)}_{rng.choice(GLOSSARY)}_{number}_{i}" for i in range(6)]
    parts = [f'def {name}(first_value, second_value):\n    """Give back the {name.replace("_", " ")} of two values, as a number.\n    """\n'
             f"    total = first_value + {i}\n    for step in range(second_value):\n        total += step * first_value\n    return total\n"
             for i, name in enumerate(names)]
    return names, "\n\n".join(parts)


class Sources:
    """Texts made up from a seed in place of fetched ones."""
    versions = {"made up": "1"}

    def __init__(self):
        rng = random.Random(7)
        self.kept = {}
        self.prose = [" ".join(" ".join(rng.choices(GLOSSARY, k=rng.randrange(4, 18))).capitalize() + "." for _ in range(4)) + "\n\n"
                      for _ in range(4000)]
        made = [made_up_module(rng, i) for i in range(60)]
        self.code = []
        for i, (_, source) in enumerate(made):
            used = made[i - 1][0][0]
            user = f"\n\ndef user_of_{i}(value):\n    limit = value\n    collected = {used}(value, limit)\n    return collected\n" if i else ""
            self.code.append(("alpha" if i < 30 else "beta", f"pack/module_{i}.py", source + user))

    def once(self, name, read):
        return self.kept.setdefault(name, None) or self.kept.__setitem__(name, read()) or self.kept[name]

    def essays(self):
        return self.prose

    def novels(self):
        return self.prose

    def modules(self):
        return self.code

    def words(self):
        rng = random.Random(8)
        return sorted({"".join(rng.choices("abcdefghijklmnop", k=rng.randrange(4, 9))) for _ in range(6000)})


SOURCES = Sources()


def count(text):
    """A tokenizer of words, digits and signs."""
    return len(re.findall(rb"[A-Za-z]+|\d|[^\sA-Za-z\d]", text))


def made(name, n_tokens=4000, seed=1, index=0, n_questions=None):
    return text_of(tasks.TASKS[name], SOURCES, n_tokens, seed, index, count, n_questions)


def shown(test, question):
    return [test.text[begin:end].decode() for begin, end in question["evidence"]]


class EveryTask(unittest.TestCase):
    def test_lengths_are_those_asked_for(self):
        for name in tasks.TASKS:
            for n_tokens in (3000, 12000):
                with self.subTest(task=name, n_tokens=n_tokens):
                    self.assertLess(abs(count(made(name, n_tokens).text) / n_tokens - 1), 0.04)

    def test_a_seed_and_an_index_draw_the_same_text_and_others_another(self):
        for name in tasks.TASKS:
            with self.subTest(task=name):
                one = made(name)
                self.assertEqual((made(name).text, made(name).questions), (one.text, one.questions))
                self.assertNotEqual(made(name, seed=2).questions, one.questions)
                self.assertNotEqual(made(name, index=1).questions, one.questions)

    def test_evidence_lies_in_the_text_without_white_space_around_it(self):
        for name in tasks.TASKS:
            test = made(name)
            for question in test.questions:
                with self.subTest(task=name, question=question["question"]):
                    self.assertTrue(question["answers"] and question["question"].strip())
                    self.assertEqual(question["evidence"], sorted(question["evidence"]))
                    self.assertTrue(question["evidence"] or question.get("kind") == "absence")
                    for begin, end in question["evidence"]:
                        self.assertTrue(0 <= begin < end <= len(test.text))
                        self.assertEqual(test.text[begin:end].decode(), test.text[begin:end].decode().strip())

    def test_each_question_is_another_one(self):
        for name, task in tasks.TASKS.items():
            test = made(name, 12000)
            self.assertEqual(len({q["question"] for q in test.questions}), task.per_text, name)
            self.assertEqual({q["set"] for q in test.questions}, {name})

    def test_questions_of_one_text_per_question_have_no_distractors_of_others(self):
        self.assertEqual(made("niah_single_1", n_questions=1).text.count(b"The secret number"), 1)
        self.assertEqual(made("niah_multikey_1", n_questions=1).text.count(b"The secret number"), 4)

    def test_a_text_longer_than_its_filler_is_refused(self):
        for name in ("niah_single_2", "babilong_qa1", "code_debug", "dialogue", "line_completion"):
            with self.subTest(task=name), self.assertRaisesRegex(ValueError, "expected"):
                made(name, 600_000)


class Needles(unittest.TestCase):
    def test_the_evidence_holds_the_answers_and_nothing_else_does(self):
        for name in ("niah_single_1", "niah_single_3", "niah_multikey_2", "niah_multikey_3", "niah_multivalue", "niah_multiquery",
                     "kv_retrieval", "nolima"):
            test = made(name)
            for question in test.questions:
                evidence = " ".join(shown(test, question))
                for answer in question["answers"]:
                    self.assertIn(answer, evidence, name)
                    self.assertEqual(test.text.decode().count(answer), 1, name)

    def test_a_reader_of_lines_finds_every_value(self):
        for name in ("niah_single_1", "niah_single_2", "niah_multikey_1", "niah_multikey_2", "niah_multikey_3", "niah_multivalue",
                     "niah_multiquery"):
            test = made(name)
            values = {}
            for key, value in re.findall(r"The secret \w+ of (\S+) is (\S+)\.", test.text.decode()):
                values.setdefault(key, set()).add(value)
            for question in test.questions:
                keys = [key for key in re.findall(r"[\w-]+", question["question"]) if key in values]
                self.assertEqual(set().union(*(values[key] for key in keys)), set(question["answers"]), name)

    def test_keys_are_so_many_that_a_long_text_of_needles_can_be_made(self):
        lines = made("niah_multikey_2", 200_000).text.decode().splitlines()
        self.assertEqual(len({line.split()[4] for line in lines if line.strip()}), len([line for line in lines if line.strip()]))

    def test_pass_key_and_digits(self):
        for name in ("passkey", "number_string"):
            test = made(name)
            self.assertEqual(test.text.decode().count(test.questions[0]["answers"][0]), 2)
            self.assertIn(test.questions[0]["answers"][0], shown(test, test.questions[0])[0])

    def test_no_needle_of_associations_shares_a_word_with_its_question(self):
        def stems(text):
            return {word[:5] for word in re.findall(r"[a-z]+", text.lower()) if word not in FUNCTION_WORDS}
        for needle, question in associations.PAIRS:
            self.assertEqual(stems(needle.replace("{}", "")) & stems(question), set(), question)
        self.assertEqual(len({q for _, q in associations.PAIRS}), len(associations.PAIRS))


class Variables(unittest.TestCase):
    def test_a_follower_of_assignments_finds_the_same_names(self):
        for index in range(5):
            test = made("variable_tracking", index=index)
            value_of = {}
            for name, other, number in re.findall(r"VAR (\w+) = (?:VAR (\w+)|(\d+))\.", test.text.decode()):
                value_of[name] = number or value_of[other]  # in order: a name that was not given a value before is an error
            asked = re.search(r"\d+", test.questions[0]["question"])[0]
            self.assertEqual({n for n, v in value_of.items() if v == asked}, set(test.questions[0]["answers"]))
            self.assertEqual(len(test.questions[0]["answers"]), 5)
            self.assertEqual([line.split()[1] for line in shown(test, test.questions[0])], test.questions[0]["answers"])


class WordCounts(unittest.TestCase):
    def test_a_count_finds_the_common_words(self):
        for n_tokens in (2000, 12000, 60000):
            test = made("common_words", n_tokens)
            counts = Counter(re.findall(r"\d+\. (\w+)\n", test.text.decode())).most_common()
            self.assertEqual({word for word, _ in counts[:10]}, set(test.questions[0]["answers"]))
            self.assertEqual({n for _, n in counts[:10]}, {10 * counts[10][1]})
            self.assertEqual({n for _, n in counts[10:]}, {counts[10][1]})
            self.assertEqual(Counter(shown(test, test.questions[0])), Counter(dict(counts[:10])))

    def test_a_count_finds_the_frequent_words(self):
        for n_tokens in (2000, 12000):
            test = made("frequent_words", n_tokens)
            ranked = Counter(test.text.decode().split()).most_common(5)
            self.assertEqual(ranked[0][0], word_counts.DOTS)
            self.assertEqual([word for word, _ in ranked[1:4]], test.questions[0]["answers"])
            self.assertGreater(ranked[3][1], ranked[4][1])
            self.assertEqual(Counter(shown(test, test.questions[0])), Counter(dict(ranked[1:4])))


def solve_world(story, question):
    """The answer to a question of qa1 to qa5 by a reader that keeps lists, written apart from tasks/babi.py."""
    where, holds, been, gifts, sides, lies = {}, {}, {}, [], {}, {}
    for line in story:
        words = line.rstrip(".").split()
        if re.search(r" is (north|south|east|west) of ", line):
            sides[(words[3], words[6])] = words[1]
            sides[("of", words[1], words[3])] = words[6]
        elif re.search(r"\b(gave|handed|passed) the", line):
            gifts.append((words[0], words[3], words[5]))
        elif re.search(r"\b(went|walked|moved|travelled) to the", line):
            where[words[0]] = words[4]
            for thing in [t for t, who in holds.items() if who == words[0]]:
                been[thing].append(words[4])
        elif re.search(r"\b(took|got|picked up) the", line):
            thing = words[-2]
            assert thing not in holds and lies.get(thing, where.get(words[0])) == where.get(words[0]), (story, line)
            holds[thing] = words[0]
            been.setdefault(thing, []).append(where.get(words[0], "somewhere"))
        else:
            assert holds.pop(words[-2]) == words[0], (story, line)
            lies[words[-2]] = where[words[0]]
    if match := re.fullmatch(r"Where is (?:the )?(\w+)\?", question):
        return where.get(match[1]) or where[holds[match[1]]]
    if match := re.fullmatch(r"Where was the (\w+) before it was in the (\w+)\?", question):
        rooms = [r for i, r in enumerate(been[match[1]]) if i == 0 or been[match[1]][i - 1] != r]
        return rooms[rooms.index(match[2]) - 1]
    if match := re.fullmatch(r"What is (\w+) of the (\w+)\?", question):
        return sides[match[1], match[2]]
    if match := re.fullmatch(r"What is the (\w+) (\w+) of\?", question):
        return sides["of", match[1], match[2]]
    given = list(reversed(gifts))
    if match := re.fullmatch(r"What did (\w+) last give to (\w+)\?", question):
        return next(t for g, t, r in given if (g, r) == match.groups())
    if match := re.fullmatch(r"Who last gave the (\w+) to (\w+)\?", question):
        return next(g for g, t, r in given if (t, r) == match.groups())
    match = re.fullmatch(r"Who did (\w+) last give the (\w+) to\?", question)
    return next(r for g, t, r in given if (g, t) == match.groups())


class Worlds(unittest.TestCase):
    def test_a_reader_of_the_whole_story_finds_the_answer(self):
        for name, tell in babi.STORIES.items():
            for seed in range(200):
                story, question, answer, support, labels = tell(random.Random(seed))
                self.assertEqual(solve_world(story, question), answer, (name, seed, story, question))
                self.assertIn(answer, labels)
                self.assertEqual(support, sorted(set(support)))

    def test_a_reader_of_the_evidence_finds_the_answer(self):
        for name, tell in babi.STORIES.items():
            for seed in range(200):
                story, question, answer, support, _ = tell(random.Random(seed))
                self.assertEqual(solve_world([story[i] for i in support], question), answer, (name, seed))
                self.assertEqual(len(support), {"qa2": 2, "qa3": 3}.get(name, 1))

    def test_a_text_holds_its_story_in_order(self):
        facts = re.compile(rf"(?:(?:{'|'.join(babi.PEOPLE)}) [a-z ]*|The \w+ is \w+ of the \w+)[^.]*\.")
        for name in babi.STORIES:
            for index in range(5):
                test = made(f"babilong_{name}", index=index)
                asked = re.search(r"hidden in the text\. (.*\?) Answer", test.questions[0]["question"])[1]
                story = facts.findall(test.text.decode())
                self.assertEqual(solve_world(story, asked), test.questions[0]["answers"][0])
                self.assertEqual([s for s in shown(test, test.questions[0]) if s not in story], [])


class Functions(unittest.TestCase):
    def test_the_functions_return_what_the_answer_says(self):
        test = made("code_run")
        scope = {}
        exec(test.text.decode(), scope)
        for question in test.questions:
            call = re.search(r"func_\d+\(-?\d+\)", question["question"])[0]
            self.assertEqual(str(eval(call, scope)), question["answers"][0])
            evidence = {}
            exec("\n".join(shown(test, question)), evidence)
            self.assertEqual(str(eval(call, evidence)), question["answers"][0])

    def test_one_of_the_functions_offered_uses_a_name_that_nothing_defines(self):
        test = made("code_debug", 8000)
        tree = ast.parse(test.text.decode())
        known = set(dir(builtins)) | {s.get_name() for s in symtable.symtable(test.text.decode(), "text", "exec").get_symbols()}
        free = {}
        for table in symtable.symtable(test.text.decode(), "text", "exec").get_children():
            free[table.get_name()] = {s.get_name() for s in table.get_symbols() if s.is_global()} - known
        imported = {name for node in tree.body if isinstance(node, ast.FunctionDef) for name in free[node.name] if name.count("_") == 3}
        for question in test.questions:
            offered = {name for name in question["labels"] if free[name] - imported}
            self.assertEqual(offered, set(question["answers"]))
            self.assertEqual(len(question["labels"]), functions.CHOICES)
            self.assertIn(f"def {question['answers'][0]}(", shown(test, question)[0])

    def test_a_misspelled_name_is_one_that_the_module_has_not(self):
        source = "def other(toher, oterh):\n    return toher + oterh\n\n\ndef wrong(value, other):\n    return value and other\n"
        node = ast.parse(source).body[1]
        self.assertEqual(functions.with_error(source, node), source.replace("return value", "return avlue"))
        source = source.replace("(value, other)", "(v, other)")
        self.assertEqual(functions.with_error(source, ast.parse(source).body[1]), source.replace("value and other", "value and ohter"))

    def test_the_docstring_asked_for_is_gone_and_the_function_is_there(self):
        test = made("code_find", 8000)
        for question in test.questions:
            sentence = question["question"].split("? ", 1)[1].removesuffix(" Answer with its name only.")
            self.assertNotIn(sentence, test.text.decode())
            self.assertEqual(ast.parse(shown(test, question)[0]).body[0].name, question["answers"][0])


class Completion(unittest.TestCase):
    def test_the_line_follows_what_is_asked_and_its_file_is_not_in_the_text(self):
        test = made("line_completion", 8000)
        code = {path: source for _, path, source in SOURCES.modules()}
        for question in test.questions:
            path = re.search(r"line of (\S+)\. ", question["question"])[1]
            before = question["question"].split("\n\n", 1)[1]
            after = code[path].split(before + "\n", 1)[1].splitlines()[0]
            self.assertEqual(after.strip(), question["answers"][0])
            self.assertNotIn(f"# {path}\n", test.text.decode())

    def test_the_evidence_defines_what_the_line_calls(self):
        test = made("line_completion", 8000)
        for question in test.questions:
            name = re.match(r"def (\w+)\(", shown(test, question)[0])[1]
            self.assertIn(name + "(", question["answers"][0])

    def test_a_line_that_its_own_file_explains_is_not_asked_for(self):
        code = {"a.py": "\n" * 12 + "def helper_one(x):\n    return x\n\n\ndef other(y):\n    result_here = helper_one(y)\n    return result_here\n",
                "b.py": "\n" * 12 + "def user(y):\n    result_here = helper_one(y)\n    return result_here\n"}
        defined = {"helper_one": ["a.py"], "user": ["b.py"]}
        self.assertEqual(completion.targets("a.py", code, defined), [])
        self.assertEqual([t[1] for t in completion.targets("b.py", code, defined)], ["result_here = helper_one(y)"])


class Dialogue(unittest.TestCase):
    def read(self, text):
        """{(person, topic): [(date, value)]} of a dialogue, by its letters."""
        said = {}
        for session in re.split(r"(?m)^=== ", text)[1:]:
            date, letters = session.split(" ===", 1)
            for person, letter in re.findall(r"(?ms)^(\w+): (.*?)(?=^\w+: |\Z)", letters):
                for topic, form, _, values in dialogue.TOPICS:
                    for value in values:
                        if form.format(value) in letter:
                            said.setdefault((person, topic), []).append((date, value))
        return said

    def test_a_reader_of_the_letters_finds_every_answer(self):
        kinds = Counter()
        for index in range(6):
            test = made("dialogue", 9000, index=index, n_questions=8)
            said = self.read(test.text.decode())
            for question in test.questions:
                kinds[question["kind"]] += 1
                person = next(p for pair in dialogue.FRIENDS for p in pair if p in question["question"])
                if question["kind"] == "time":
                    quoted = re.search(r'"(.*)"', question["question"])[1]
                    date = next(d for (p, topic), all_said in said.items() for d, v in all_said if p == person
                                and next(t[1] for t in dialogue.TOPICS if t[0] == topic).format(v) == quoted)
                    self.assertEqual(question["answers"][0], date)
                elif question["kind"] != "absence":
                    topic = next(t[0] for t in dialogue.TOPICS if question["question"].startswith(t[2].format(person)[:-1]))
                    self.assertEqual(question["answers"], [said[person, topic][-1][1]])
                    self.assertEqual(len(said[person, topic]), 2 if question["kind"] == "update" else 1)
        self.assertEqual(set(kinds), set(dialogue.KINDS))

    def test_what_is_absent_is_never_said(self):
        text = made("dialogue").text.decode().lower()
        for _, word in dialogue.ABSENT:
            self.assertNotIn(word, text)


class Passages(unittest.TestCase):
    def test_each_answer_stands_in_its_passages_and_not_in_its_question(self):
        for topic in qa.pairs():
            one, other = topic["passages"]
            for passage, asked in zip((one, other), topic["single"]):
                self.assertTrue(all(stands_in(a, plain(passage)) for a in asked["answers"][:1]), asked)
            self.assertTrue(is_right(other, topic["both"]["answers"]), topic["both"])
            self.assertFalse(is_right(one, topic["both"]["answers"]), topic["both"])
            for asked in (*topic["single"], topic["both"]):
                self.assertFalse(is_right(asked["question"], asked["answers"]), asked)

    def test_a_text_holds_the_passages_that_are_asked_for(self):
        for name, n in (("qa_1", 1), ("qa_2", 2)):
            test = made(name, 8000)
            for question in test.questions:
                self.assertEqual(len(question["evidence"]), n)
                self.assertTrue(is_right(" ".join(shown(test, question)), question["answers"]), question)


class Places(unittest.TestCase):
    def test_facts_keep_their_order_and_stand_between_units(self):
        units = [f"Unit {i}. " for i in range(20)] + ["Last.\n\n"]
        facts = [(0.5, "B."), (0.1, "A."), (0.5, "C."), (1.0, "End.")]
        text, ranges = place.sprinkle(units, facts)
        self.assertEqual([text[b:e].decode() for b, e in ranges], ["B.", "A.", "C.", "End."])
        self.assertTrue(ranges[1] < ranges[0] < ranges[2] < ranges[3])
        self.assertEqual(re.sub(r"(?:[ABC]|End)\.\s+", "", text.decode()), "".join(units))

    def test_a_place_is_a_share_of_the_text(self):
        units = ["Word. " * (1 + i % 7) for i in range(3000)]
        places = [0.05, 0.3, 0.62, 0.97]
        text, ranges = place.sprinkle(units, [(at, "A fact.") for at in places])
        for at, (begin, _) in zip(places, ranges):
            self.assertAlmostEqual(begin / len(text), at, delta=0.01)
        drawn = place.scattered(40, random.Random(1))
        self.assertEqual(sorted(int(at * 40) for at in drawn), list(range(40)))

    def test_filler_leaves_out_unwanted_words_and_comes_near_the_size(self):
        units = ["The cat sat there. \n\n", "A dog ran. \n\n"] * 50
        taken = sources.take(units, 300, random.Random(1), ("cat",))
        self.assertEqual(set(taken), {units[1]})
        self.assertLess(abs(len("".join(taken)) - 300), 10)

    def test_a_length_is_fitted_and_the_best_try_is_kept(self):
        text, _ = fitted(lambda size: (b"x" * size, []), 1000, lambda text: len(text) // 3)
        self.assertEqual(len(text) // 3, 1000)
        text, _ = fitted(lambda size: (b"x" * (size - size % 900), []), 1000, len)
        self.assertEqual(len(text), 900)

    def test_sentences_join_to_their_paragraph(self):
        paragraph = 'Mr. Smith came. "He went!" she said; was it so? It was.\n\n'
        self.assertEqual("".join(sources.sentences(paragraph)), paragraph)
        self.assertEqual(len(sources.sentences(paragraph)), 4)

    def test_strings_of_r_are_read_and_damage_is_named(self):
        def packed(*numbers):
            return b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
        raw = b"X\n" + packed(2, 0, 0) + packed(16, 2, 9, 3) + b"abc" + packed(9, 0)
        self.assertEqual(sources.r_strings(raw + b""), ["abc", ""])
        for damaged, words in ((raw[:-9], "ends at byte"), (b"Y" + raw[1:], "binary form"), (raw[:17] + b"\x0d" + raw[18:], "type 13")):
            with self.assertRaisesRegex((ValueError, sources.struct.error), words):
                sources.r_strings(damaged)


if __name__ == "__main__":
    unittest.main()
