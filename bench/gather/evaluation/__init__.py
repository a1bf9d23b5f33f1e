"""The parts of evaluate.py and answers.py. Importing it makes bench/lib known as `lib`."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
