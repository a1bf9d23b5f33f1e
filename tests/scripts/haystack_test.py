"""The text of the demo and the recall test: facts stand where their offsets say, and the checks refuse near misses."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import haystack  # noqa: E402

TEXT = "Book 1\n\n" + "".join(f"  {i} And verse {i} said: peace — be upon it.\n" for i in range(1, 400))


class Haystack(unittest.TestCase):
    def test_facts_stand_at_their_offsets_and_the_rest_is_the_text(self):
        for n, seed in ((1, 1), (4, 2506), (40, 11)):
            facts = haystack.draw_facts(n, seed)
            text = haystack.insert(TEXT, facts, seed)
            rest = text
            for fact in facts:
                self.assertEqual(text.encode()[fact.begin_byte:fact.end_byte].decode(), fact.sentence)
                self.assertIn(fact.value, fact.sentence)
                rest = rest.replace(f"\n{fact.sentence}\n\n", "")
            self.assertEqual(rest, TEXT)

    def test_a_seed_draws_the_same_facts_and_another_seed_others(self):
        self.assertEqual(haystack.draw_facts(9, 3), haystack.draw_facts(9, 3))
        self.assertNotEqual(haystack.draw_facts(9, 3), haystack.draw_facts(9, 4))

    def test_names_and_values_are_pairwise_different(self):
        facts = haystack.draw_facts(40, 5)
        self.assertEqual(len({f.question for f in facts}), 40)
        self.assertEqual(len({f.value for f in facts}), 40)

    def test_answers(self):
        for answer, value, right in (("It is 4,839,201.", "4839201", True), ("It is 48392011.", "4839201", False),
                                     ("it is 7F3A91BC-e04d", "7f3a91bc-e04d", True), ("7f3a91bc e04d", "7f3a91bc-e04d", False),
                                     ("Osvane\n Teldric.", "Osvane Teldric", True), ("Osvane", "Osvane Teldric", False),
                                     ("98 years", "ninety and eight", True), ("1998 years", "ninety and eight", False)):
            with self.subTest(answer=answer):
                self.assertEqual(haystack.has_value(answer, value), right)

    def test_coverage_needs_every_byte(self):
        fact = haystack.Fact("x" * 10, "", "", 100, 110)
        for spans, right in (([(90, 120)], True), ([(100, 110)], True), ([(100, 109)], False), ([(101, 110)], False),
                             ([(105, 130), (0, 105)], True), ([(0, 104), (105, 130)], False), ([], False)):
            with self.subTest(spans=spans):
                self.assertEqual(haystack.covered(fact, [{"begin_byte": b, "end_byte": e} for b, e in spans]), right)


if __name__ == "__main__":
    unittest.main()
