"""Filler of everyday English: Debian's fortunes, which are short quotations, jokes and remarks."""
import random
import re

from lib.test_text import take_bytes

LONGEST_BYTES = 2_000


def units(fetcher, size_bytes, seed, without):
    """Fortunes in an order drawn, none with one of the words `without`."""
    folder = fetcher.debian("fortunes") / "usr/share/games/fortunes"
    found = []
    for path in sorted(folder.iterdir()):
        if not path.suffix and not path.is_symlink() and path.name != "ascii-art":
            found += re.split(r"(?m)^%\n", path.read_text(errors="replace"))
    unwanted = re.compile(rf"(?i)\b({'|'.join(map(re.escape, without))})\b") if without else None
    kept = [f.rstrip("\n") + "\n\n" for f in found
            if f.strip() and len(f) < LONGEST_BYTES and not (unwanted and unwanted.search(f))]
    random.Random(seed).shuffle(kept)
    return take_bytes(kept, size_bytes)
