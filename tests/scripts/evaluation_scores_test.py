"""The scores of bench/evaluation: right, nearly right and wrong replies."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench/evaluation"))
import tasks  # noqa: E402
from harness import scoring  # noqa: E402


class Scores(unittest.TestCase):
    def check(self, score, question, expected):
        for reply, points in expected.items():
            with self.subTest(reply=reply):
                self.assertAlmostEqual(score(reply, question), points)

    def test_the_share_of_answers_that_a_reply_contains(self):
        self.check(scoring.share, {"answers": ["1234567", "7654321"]}, {
            "1234567 and 7654321.": 1, "They are 7,654,321 and 1,234,567": 1, "1234567": 0.5, "12345678, 7654321": 0.5,
            "91234567": 0, "": 0, "1234 567": 0})
        self.check(scoring.share, {"answers": ["jolly-fox"]}, {"Jolly-Fox": 1, "the jolly‑fox": 1, "jolly fox": 0, "jolly-foxes": 0})

    def test_any_answer_is_enough(self):
        self.check(scoring.some, {"answers": ["three", "3"]}, {"There are 3.": 1, "THREE": 1, "13": 0, "threefold": 0, "four": 0})

    def test_one_label_in_the_first_sentence(self):
        question = {"question": "Where was the torch before it was in the pantry?", "answers": ["workshop"],
                    "labels": ["pantry", "workshop", "laundry"]}
        self.check(scoring.label, question, {
            "Workshop": 1, "It was in the workshop.": 1, "The workshop, before the pantry": 1, "workshop. Not the laundry.": 1,
            "workshop\nlaundry": 1, "workshop or laundry": 0, "laundry": 0, "The pantry.": 0, "workshops": 0, "": 0})

    def test_a_label_that_the_question_names_may_be_the_answer(self):
        question = {"question": "Who last gave the torch to Kofi, Kofi or Yuki?", "answers": ["Kofi"], "labels": ["Kofi", "Yuki"]}
        self.check(scoring.label, question, {"Kofi": 1, "Yuki": 0, "": 0})

    def test_one_of_the_choices(self):
        question = {"answers": ["merge_all"], "labels": ["merge_all", "merge", "split", "rows"]}
        self.check(scoring.choice, question, {"merge_all": 1, "`merge_all(x)` is wrong": 1, "merge": 0, "merge_all or split": 0, "none": 0})

    def test_edit_similarity_and_exact_match_of_a_line(self):
        question = {"answers": ["    total = add(a, b)"]}
        for reply, like, same in (("total = add(a, b)", 1, 1), ("```python\ntotal = add(a, b)\nreturn total\n```", 1, 1), ("", 0, 0),
                                  ("`total = add(a, b)`", 1, 1)):
            self.assertEqual((scoring.edit_similarity(reply, question), scoring.exact(reply, question)), (like, same), reply)
        near, far = (scoring.edit_similarity(r, question) for r in ("total = add(a, c)", "import os"))
        self.assertTrue(0.9 < near < 1 and far < 0.4 and scoring.exact("total = add(a, c)", question) == 0, (near, far))

    def test_every_task_has_a_score(self):
        self.assertLessEqual({task.score for task in tasks.TASKS.values()}, set(scoring.SCORES))


if __name__ == "__main__":
    unittest.main()
