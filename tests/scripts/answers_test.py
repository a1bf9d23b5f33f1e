"""Right answers (bench/gather/answers.py): the judge holds at its borders, and answers.json has the form that the README states."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench/gather"))
from evaluation import judge, replies  # noqa: E402
from evaluation.sets import SETS, needles, paraphrase  # noqa: E402
from lib import prompt  # noqa: E402


class Judge(unittest.TestCase):
    def check(self, answer, right, wrong):
        for replied, expected in [(r, True) for r in right] + [(w, False) for w in wrong]:
            with self.subTest(answer=answer, reply=replied):
                self.assertEqual(judge.is_right(replied, answer), expected)

    def test_one_alternative_is_enough_and_a_list_needs_all(self):
        self.check(["Iceland", ["ninth", "May"]], ["From ICELAND.", "On the ninth\nof may"], ["", "In May", "the ninth", "Ice land"])

    def test_a_number_is_not_part_of_a_number(self):
        self.check(["2"], ["2", "it is 2.", "2, or so", "(2)", "2m", "£2", "1 and 2"], ["12", "21", "2.5", "1.2", "1,2", "2,000", "v2x", "two"])
        self.check(["3.8"], ["Python 3.8.", "since 3.8, yes"], ["3.81", "13.8", "3.8.1", "3x8"])
        self.check(["4310"], ["4,310 crowns", "4310"], ["14,310", "4,310,000", "43,10", "4310.5"])

    def test_a_word_is_whole_unless_it_is_marked_as_a_beginning(self):
        self.check(["ten", "blush~"], ["ten", "Ten!", "`ten`", "she blushed", "Blushing"], ["often", "tenth", "ten_a", "unblushing"])

    def test_signs_at_a_border_stand_for_themselves(self):
        self.check(["$/ =", "-dev", "utime"], ["local $/ = undef", "libfoo-dev", "utime()", "CORE::utime(@a)"],
                   ["/a$/", "libfoodev", "-devel", "mutime"])

    def test_typography_does_not_matter(self):
        self.check(["can't", "single-thread~", "a b"], ["It can’t.", "single‑threaded", "A\n  b"], ["cant", "single thread", "ab"])

    def test_an_empty_reply_is_wrong(self):
        for answers in judge.Answers().answers.values():
            for answer in answers.values():
                self.assertFalse(judge.is_right("", answer), answer)


class AnswersFile(unittest.TestCase):
    def setUp(self):
        self.answers = judge.Answers()
        self.all = [(name, asked, answer) for name, answers in self.answers.answers.items() for asked, answer in answers.items()]

    def test_there_are_enough_of_each_set(self):
        self.assertLessEqual(self.answers.answers.keys(), set(SETS))
        for name, least in (("perlfaq", 30), ("pythonfaq", 30), ("debianfaq", 30), ("code", 15), ("needles", 30), ("paraphrase", 30)):
            self.assertGreaterEqual(len(self.answers.answers[name]), least, name)

    def test_the_readme_says_how_many_there_are(self):
        readme = (Path(judge.__file__).parents[1] / "README.md").read_text()
        counts = [str(len(self.answers.answers[name])) for name in ("perlfaq", "pythonfaq", "debianfaq", "code", "needles", "paraphrase")]
        self.assertIn(f"| with an answer | {' | '.join(counts)} |", readme)

    def test_an_answer_is_a_list_of_keywords_or_lists_of_them(self):
        for name, asked, answer in self.all:
            with self.subTest(set=name, question=asked):
                self.assertTrue(isinstance(answer, list) and answer)
                for entry in answer:
                    self.assertIsInstance(entry, (str, list))
                    keywords = [entry] if isinstance(entry, str) else entry
                    self.assertTrue(keywords)
                    for keyword in keywords:
                        self.assertIsInstance(keyword, str)
                        self.assertEqual(keyword, keyword.strip())
                        self.assertTrue(judge.plain(keyword.removesuffix(judge.STEM)))
                        self.assertNotIn(judge.STEM, keyword[:-1])
                        self.assertLessEqual(len(keyword.split()), 5, "keywords, not sentences")

    def test_no_question_holds_its_answer(self):
        for name, asked, answer in self.all:
            words = self.answers.words({"set": name, "question": asked})
            self.assertFalse(judge.is_right(words, answer), (words, answer))
            for entry in answer:
                if isinstance(entry, str):
                    self.assertFalse(judge.is_right(words, [entry]), (words, entry))

    def test_questions_are_those_of_the_sets_made_here(self):
        facts = {question: fact for fact, question in paraphrase.PAIRS}
        for asked, answer in self.answers.answers["paraphrase"].items():
            self.assertTrue(judge.is_right(facts[asked], answer), asked)
        made = {question.format(place) for place in needles.PLACES for _, question, _ in needles.KINDS}
        self.assertLessEqual(self.answers.answers["needles"].keys(), made)

    def test_only_questions_with_an_answer_have_one(self):
        question = {"set": "paraphrase", "question": "What is the girl allergic to?"}
        self.assertEqual(self.answers.of(question), ["peanut~"])
        self.assertIsNone(self.answers.of({**question, "set": "several"}))
        self.assertEqual(self.answers.words(question), question["question"])
        self.assertEqual(self.answers.words({"set": "code", "question": "Sorts\n it."}), self.answers.asked["code"].format("Sorts it."))


class Prompts(unittest.TestCase):
    def test_evidence_stands_in_the_prompt_as_ask_would_put_it(self):
        source = (Path(__file__).resolve().parents[2] / "runtime/recompute/prompt.cc").read_text()
        for words in (f'kSkipped = "{prompt.SKIPPED}"'.replace("\n", "\\n"), '{Kind::kOther, "\\n\\n", {}}'):
            self.assertIn(words, source)
        text = "ä one two".encode()
        self.assertEqual(replies.PROMPTS["evidence"](text, {"evidence": [[7, 10], [0, 6]]}, "Q?"), "ä one\n[...]\ntwo\n\nQ?")

    def test_rows_have_names_of_their_own_and_say_what_they_use(self):
        for name, row in replies.ROWS.items():
            self.assertEqual(row.name, name)
            self.assertEqual([verb for verb, _ in row.uses()], ["generate"] if row.sees in replies.PROMPTS else ["ingest", "ask"])


if __name__ == "__main__":
    unittest.main()
