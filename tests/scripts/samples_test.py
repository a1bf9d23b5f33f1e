"""The sample texts (heads/samples/) have the form that their README states."""
import json
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "heads/samples"
KINDS = {"single", "paraphrase", "time", "several"}


class SamplesTest(unittest.TestCase):
    def setUp(self):
        self.samples = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}

    def test_there_are_enough_of_each_kind_and_language(self):
        questions = [q for sample in self.samples.values() for q in sample["questions"]]
        self.assertGreaterEqual(len(questions), 300)
        for kind in KINDS:
            self.assertGreaterEqual(sum(q["kind"] == kind for q in questions), 50, kind)
        self.assertGreaterEqual(len({sample["language"] for sample in self.samples.values()}), 5)

    def test_each_evidence_stands_once_in_one_line_of_its_text(self):
        for name, sample in self.samples.items():
            self.assertFalse(any("\n" in line for line in sample["text"]), name)
            text = "\n".join(sample["text"])
            for question in sample["questions"]:
                self.assertIn(question["kind"], KINDS, name)
                self.assertGreaterEqual(len(question["evidence"]), 2 if question["kind"] == "several" else 1, question)
                for evidence in question["evidence"]:
                    self.assertEqual(text.count(evidence), 1, f"{name}: {evidence}")
                    self.assertNotIn("\n", evidence)

    def test_answers_are_short_strings_that_the_question_does_not_hold(self):
        answered = [q for sample in self.samples.values() for q in sample["questions"] if "answer" in q]
        self.assertGreaterEqual(len(answered), 300)
        for question in answered:
            self.assertIsInstance(question["answer"], list, question)
            self.assertTrue(question["answer"], question)
            for entry in question["answer"]:
                strings = entry if isinstance(entry, list) else [entry]
                self.assertTrue(strings, question)
                for string in strings:
                    self.assertIsInstance(string, str, question)
                    self.assertTrue(string.strip(), question)
                    self.assertNotIn(string.lower(), question["question"].lower(), question)

    def test_no_question_is_asked_twice(self):
        asked = [q["question"] for sample in self.samples.values() for q in sample["questions"]]
        self.assertEqual(len(asked), len(set(asked)))


if __name__ == "__main__":
    unittest.main()
