"""Where things lie."""
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
WORK = ROOT / "build/gather"  # git ignores build/
