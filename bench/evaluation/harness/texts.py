"""The texts of tasks, made once per model and kept; made anew when the code that makes them has changed."""
import json
from pathlib import Path

from lib import fetch, python_modules, test_text
from lib.files import sha256, with_ending, write_json
from lib.test_text import TestText
from tasks import TASKS
from tasks.task import text_of


def code_hash():
    """Of what makes texts."""
    import tasks
    files = [p for p in Path(tasks.__file__).parent.iterdir() if p.suffix in (".py", ".json")]
    return sha256(*(p.read_bytes() for p in sorted([*files, *(Path(m.__file__) for m in (fetch, python_modules, test_text))])))


class Texts:
    def __init__(self, folder, sources, model_key, count_tokens):
        self.folder, self.sources, self.model_key, self.count = folder, sources, model_key, count_tokens
        self.made_by, self.read, self.counts = code_hash(), {}, folder / "tokens"
        self.counts.mkdir(parents=True, exist_ok=True)

    def stem(self, cell, index):
        return self.folder / f"{cell.task}-{cell.tokens}-{self.model_key}-seed{cell.seed}-{index}-{cell.per_text}"

    def kept(self, cell, index):
        """The TestText, or None if it has not been made by this code."""
        stem = self.stem(cell, index)
        if stem not in self.read:
            self.read[stem] = TestText.read(stem, self.made_by)
        return self.read[stem]

    def get(self, cell, index):
        """(TestText, path)"""
        stem = self.stem(cell, index)
        if self.kept(cell, index) is None:
            test = text_of(TASKS[cell.task], self.sources, cell.tokens, cell.seed, index, self.tokens_of, cell.per_text)
            test.write(stem, self.made_by)
            self.read[stem] = test
        return self.read[stem], with_ending(stem, ".txt")

    def tokens_of(self, text):
        """Of the model, as the engine counts; kept."""
        kept = self.counts / f"{sha256(text)}-{self.model_key}.json"
        if not kept.exists():
            file = self.folder / "counted.txt"
            file.write_bytes(text)
            write_json(kept, self.count(file))
        return json.loads(kept.read_text())
