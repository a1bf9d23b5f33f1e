"""A short torture of the command: scripts/torture.py's checks hold, and notice what is wrong."""
import os
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFORM = os.environ.get("REFORM_BINARY", str(ROOT / "build/release/bin/reform"))
sys.path.insert(0, str(ROOT / "scripts"))
import torture  # noqa: E402


class TortureTest(unittest.TestCase):
    def test_nothing_is_lost_by_a_few_kills_and_a_small_crowd(self):
        done = subprocess.run([sys.executable, str(ROOT / "scripts/torture.py"), "--binary", REFORM, "--kills", "3",
                               "--seconds", "2", "--sentences", "1500"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("lost: 0", done.stdout)
        self.assertIn("all right", done.stdout)

    def test_work_that_is_gone_is_noticed(self):
        kills = torture.Kills.__new__(torture.Kills)
        saved = {("book", "current"): {"n_tokens": 900}}
        kills.check_saved(saved, "ingest", 900)
        for states in ({}, {("book", "current"): {"n_tokens": 899}},
                       {**saved, ("book", "replacement"): {"n_tokens": 0}}):
            with self.assertRaises(torture.Wrong):
                kills.check_saved(states, "ingest", 900)

    def test_counts_of_saved_tokens_are_read_whole(self):
        ours, theirs = os.pipe()
        progress = torture.Progress(ours)
        for piece in (b"\r12 tokens  saved 1,0", b"24\r", b"\r99 tokens  saved 2,048\r", b"saved 9"):
            os.write(theirs, piece)
        os.close(theirs)
        progress.join()
        self.assertEqual((progress.first, progress.last), (1024, 2048))


if __name__ == "__main__":
    unittest.main()
