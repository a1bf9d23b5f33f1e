"""The test sets of bench/gather: the rule for evidence, windows and markup hold at their borders, and the sets keep their promises."""
import random
import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench/gather"))
from evaluation import markup  # noqa: E402
from evaluation.sets import code, faq, needles, paraphrase, twohop  # noqa: E402
from lib import gold, windows  # noqa: E402
from lib.test_text import Builder, spread  # noqa: E402

FUNCTION_WORDS = set("""a about after against all along and another any are as at away be before beneath by can come comes could
did do does down for from get gets got had has have he her his how if in into is it its left long many may
might much must my no nobody not of off often on one only or our out over own per since so some take taken than that the their
them then there they this time to up was way we were what when where which while who whom whose why will with without
would you""".split())


class Gold(unittest.TestCase):
    TEXT = b"x" * 99 + b" " + b"y" * 1900

    def test_all_of_a_short_range_but_white_space(self):
        for gathered, right in (([[0, 200]], True), ([[0, 99], [100, 200]], True), ([[0, 98], [100, 200]], False),
                                ([[0, 99], [101, 200]], False), ([[100, 300], [0, 99]], True), ([[50, 200], [0, 60]], True), ([], False)):
            with self.subTest(gathered=gathered):
                self.assertEqual(gold.is_gathered(self.TEXT, [0, 200], gathered), right)

    def test_half_of_a_long_range_or_400_bytes(self):
        for evidence, gathered, right in (([0, 201], [[0, 101]], True), ([0, 201], [[0, 100]], False),
                                          ([0, 2000], [[1600, 2000]], True), ([0, 2000], [[1601, 2000]], False),
                                          ([0, 600], [[0, 200], [100, 200], [500, 600]], True),
                                          ([0, 600], [[0, 200], [100, 200], [501, 700]], False), ([700, 1000], [[0, 700], [1000, 1900]], False)):
            with self.subTest(evidence=evidence, gathered=gathered):
                self.assertEqual(gold.is_gathered(self.TEXT, evidence, gathered), right)

    def test_a_question_needs_all_its_ranges(self):
        question = {"evidence": [[0, 50], [300, 350]]}
        self.assertTrue(gold.is_found(self.TEXT, question, [[0, 60], [290, 350]]))
        self.assertFalse(gold.is_found(self.TEXT, question, [[0, 60]]))


class Windows(unittest.TestCase):
    TEXT = ("A line.\n\n" + "One sentence of some words. " * 40 + "\n" + "word " * 90 + "\n" + "é" * 30 + "\n" + "x" * 500).encode()

    def test_windows_cover_the_text_without_gap(self):
        for made in (windows.of_tokens(self.TEXT, 0.25), windows.of_tokens(self.TEXT, 0.4), windows.of_words(self.TEXT, 7)):
            self.assertEqual(made[0][0], 0)
            self.assertEqual(made[-1][1], len(self.TEXT))
            self.assertEqual([end for _, end in made[:-1]], [begin for begin, _ in made[1:]])
            for begin, end in made:
                self.TEXT[begin:end].decode()

    def test_only_a_word_without_end_is_longer_than_asked(self):
        for begin, end in windows.of_tokens(self.TEXT, 0.25)[:-1]:
            self.assertLessEqual(end - begin, 256)

    def test_every_row_gathers_exactly_its_budget(self):
        made = windows.of_tokens(self.TEXT, 0.25)
        scores = [random.Random(i).random() for i in range(len(made))]
        for budget in (1, 255, 700, 1111):
            taken = windows.best(made, scores, budget)
            self.assertEqual(sum(end - begin for begin, end in taken), budget)


class Markup(unittest.TestCase):
    def test_pod(self):
        sections = markup.pod_sections(
            "=encoding utf8\n\n=head1 NAME\n\nperl - C<< $x->[0] E<lt> >> and B<I<bold> words>\n\n=head2 How does X<sort>it L<sort|perlfunc/sort>?\n\n"
            "See L<perlop>, L<perlfaq4/\"How do I?\">, L<perlfunc/open>\nand L<http://a.b/c>.\n\n    code C<kept>\n\n=over 4\n\n=item *\n\nOne\n\n"
            "=item two\n\n=back\n\n=begin html\n\n<b>gone</b>\n\n=end html\n\nEnd.\n")
        self.assertEqual([(s.level, s.heading) for s in sections], [(0, ""), (1, "NAME"), (2, "How does it sort?")])
        self.assertEqual(sections[1].body, "perl - $x->[0] < and bold words")
        self.assertEqual(sections[2].body, "See perlop, perlfaq4, open in perlfunc\nand http://a.b/c.\n\n    code C<kept>\n\n* One\n\n* two\n\nEnd.")

    def test_html(self):
        sections = markup.html_sections(
            '<head><title>gone</title></head><div class="toc"><p>gone<br></p></div><h2>What <em>is</em> it?<a class="headerlink">¶</a></h2>'
            "<p>One\n  &amp; <code>two</code>.</p><ul>\n<li><p>item</p></li></ul><pre>a:\n    b</pre><nav><h3>gone</h3></nav>")
        self.assertEqual([(s.level, s.heading) for s in sections], [(0, ""), (2, "What is it?")])
        self.assertEqual(sections[1].body, "One & two.\n\n* item\n\na:\n    b")


class Sets(unittest.TestCase):
    def test_spread_says_where_each_fact_stands(self):
        facts = [(0.9, "Late."), (0.2, "Früh."), (0.999, "Last.")]
        text, ranges = spread([f"Unit {i}.\n" for i in range(10)], facts)
        self.assertEqual([text[b:e].decode() for b, e in ranges], ["Late.", "Früh.", "Last."])
        self.assertLess(ranges[1][0], ranges[0][0])

    def test_a_builder_leaves_out_white_space_around_a_range(self):
        builder = Builder()
        builder.add("ä\n")
        begin, end = builder.add("\n  two\n\n")
        self.assertEqual(builder.text()[begin:end], b"two")

    def test_paraphrases_share_no_content_word(self):
        def stems(text):
            return {word[:4] for word in re.findall(r"[a-z]+", text.lower()) if word not in FUNCTION_WORDS and len(word) > 1}
        self.assertGreaterEqual(len(paraphrase.PAIRS), 40)
        for fact, question in paraphrase.PAIRS:
            with self.subTest(question=question):
                self.assertEqual(stems(fact) & stems(question), set())

    def test_names_are_pairwise_different(self):
        for words in (twohop.PEOPLE, twohop.THINGS, twohop.PLACES, needles.PLACES, [q for _, q in paraphrase.PAIRS]):
            self.assertEqual(len(words), len(set(words)), [w for w in words if words.count(w) > 1])
        self.assertGreaterEqual(len(needles.PLACES) * len(needles.KINDS), 150)

    def test_faq_answers_stand_in_the_text_and_their_headings_do_not(self):
        pages = {f"page{p}": [markup.Section(2, f"How does thing {p}-{i} work?", f"Answer {p}-{i}. " * 20) for i in range(9)] for p in "ab"}
        pages["a"] = [markup.Section(1, "NAME", "nothing asked")]
        test = faq.make("some", pages, {"filler": "Filler.\n\n" * 3000}, 9000, {})
        singles = [q for q in test.questions if q["set"] == "some"]
        self.assertTrue(singles and len(singles) < len(test.questions))
        for question in test.questions:
            self.assertNotIn(question["question"], test.text.decode())
            for number, (begin, end) in zip(re.findall(r"thing (\S+)", question["question"]), question["evidence"]):
                self.assertEqual(test.text[begin:end].decode(), (f"Answer {number}. " * 20).strip())

    def test_functions_and_their_docstrings(self):
        source = ('import x\n\n\n@x.y\ndef f(a):\n    """Give back the sum of all\n    items in `a`. More.\n    """\n'
                  "    n = 0\n    for i in a:\n        n += i\n    return n\n")
        self.assertEqual(code.functions(source), [(4, 6, 8, 12, "Give back the sum of all items in a.")])
        self.assertEqual(code.functions(source.replace("the sum of all\n    items in `a`", "it")), [])


if __name__ == "__main__":
    unittest.main()
