"""The picture of the method: docs/method.svg is what the script draws, its figures are the defaults of docs/CLI.md."""
import re
import sys
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import make_method_picture as method  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
MAX_BYTES = 30_000


class MethodPicture(unittest.TestCase):
    def setUp(self):
        self.picture = method.picture()
        self.page = (ROOT / "docs/CLI.md").read_text()

    def test_the_file_is_what_the_script_draws(self):
        self.assertEqual(method.PICTURE.read_text(), self.picture)
        self.assertLessEqual(len(self.picture.encode()), MAX_BYTES)

    def test_the_figures_are_the_documented_defaults(self):
        page = re.sub(r"^### search\n.*?(?=^### )", "", self.page, flags=re.M | re.S)  # its edges are off; ask's are drawn
        defaults = dict(re.findall(r"^\| `--(gather|edge|chunk|cache)-tokens N` \| (\w+) \|", page, re.M))
        self.assertEqual(defaults, dict.fromkeys(("gather", "edge", "chunk", "cache"), "auto"))
        self.assertIn(f"else {method.GATHER_TOKENS:,}", self.page)
        self.assertIn(f"auto: {method.CHUNK_TOKENS:,}", self.page)
        self.assertEqual(method.CACHE_TOKENS, method.CHUNK_TOKENS)

    def test_words_are_text_and_both_modes_colour_the_same_classes(self):
        root = ElementTree.fromstring(self.picture)
        words = " ".join(element.text for element in root.iter(SVG + "text"))
        for figure in (method.CHUNK_TOKENS, method.GATHER_TOKENS, method.ROW_BYTES):
            self.assertIn(f"{figure:,}", words)
        light, dark = root.find(SVG + "style").text.split("@media (prefers-color-scheme: dark)")
        colours = re.compile(r"\.([\w-]+)\{(?:fill|stroke):#")
        self.assertEqual(set(colours.findall(light)), set(colours.findall(dark)))
        used = {name for element in root.iter() for name in element.get("class", "").split()}
        self.assertEqual(used - set(re.findall(r"\.([\w-]+) ?\{", light)), set())


if __name__ == "__main__":
    unittest.main()
