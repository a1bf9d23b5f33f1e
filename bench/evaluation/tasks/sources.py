"""What texts are made of: essays, novels and Python modules, fetched from Debian's and PyPI's packages."""
import gzip
import re
import struct
import zlib

from lib import python_modules

MOST_PARAGRAPH_BYTES = 2_000
LEAST_WORDS = 8


def paragraphs(text):
    """Prose only, each on one line and with an empty line behind it: no headings, tables or verse."""
    found = []
    for block in re.split(r"\n[ \t]*\n", text.replace("\r", "")):
        line = " ".join(block.split())
        letters = sum(c.isalpha() or c == " " for c in line)
        if len(line.split()) >= LEAST_WORDS and len(line) <= MOST_PARAGRAPH_BYTES and letters > 0.85 * len(line) and line[-1] in '.!?"':
            found.append(line + "\n\n")
    return found


def sentences(paragraph):
    """They join to the paragraph."""
    return re.findall(r".+?(?:(?<!Mr)(?<!Mrs)(?<!Dr)[.!?][\"')\]]*\s+|\s*$)", paragraph, re.S)


def r_strings(raw):
    """The first vector of strings in R's binary serialization (R Internals, 1.8), which the novels' package is stored in."""
    if raw[:2] != b"X\n" or len(raw) < 23:
        raise ValueError("the novels are not in R's binary form")
    version, = struct.unpack_from(">i", raw, 2)
    at = 14 + (4 + struct.unpack_from(">i", raw, 14)[0] if version >= 3 else 0)
    kind, n = struct.unpack_from(">ii", raw, at)
    if kind & 255 != 16:
        raise ValueError(f"the novels hold an object of R's type {kind & 255}, expected 16, strings")
    at, strings = at + 8, []
    for _ in range(n):
        length, = struct.unpack_from(">i", raw, at + 4)
        at += 8
        if length > len(raw) - at:
            raise ValueError(f"a string of the novels ends at byte {at + length}, the object has {len(raw)}")
        strings.append(raw[at:at + max(length, 0)].decode(errors="replace"))
        at += max(length, 0)
    return strings


def lazy_objects(raw):
    """The objects of R's lazy-load database: a length of four bytes and a zlib stream, one after the other."""
    at = 0
    while at < len(raw):
        stream = zlib.decompressobj()
        yield stream.decompress(raw[at + 4:])
        at = len(raw) - len(stream.unused_data)


class Sources:
    """Read once each; `versions` says what was used until now."""

    def __init__(self, fetcher):
        self.fetcher, self.kept = fetcher, {}

    @property
    def versions(self):
        return self.fetcher.versions

    def once(self, name, read):
        if name not in self.kept:
            self.kept[name] = read()
        return self.kept[name]

    def essays(self):
        """Paragraphs of the Jargon File and of The Devil's Dictionary, both in the public domain."""
        def read():
            found = []
            for package, file in (("dict-jargon", "jargon"), ("dict-devil", "devil")):
                path = self.fetcher.debian(package) / f"usr/share/dictd/{file}.dict.dz"
                found += paragraphs(gzip.decompress(path.read_bytes()).decode(errors="replace"))
            return found
        return self.once("essays", read)

    def novels(self):
        """Paragraphs of Jane Austen's six novels, in order."""
        def read():
            folder = self.fetcher.debian("r-cran-janeaustenr") / "usr/lib/R/site-library/janeaustenr/data"
            return [p for raw in lazy_objects((folder / "Rdata.rdb").read_bytes()) for p in paragraphs("\n".join(r_strings(raw)))]
        return self.once("novels", read)

    def modules(self):
        """[(package, path in it, source)]"""
        return self.once("modules", lambda: python_modules.modules(self.fetcher))

    def words(self):
        """English words of four to ten letters, each once."""
        def read():
            return sorted(set(re.findall(r"\b[a-z]{4,10}\b", " ".join(self.essays() + self.novels()))))
        return self.once("words", read)


def take(units, size_bytes, rng, without=()):
    """Units from a place drawn, going on at the beginning after the end, as many as come nearest to the size.

    None has one of the words `without`.
    """
    unwanted = re.compile(rf"\b({'|'.join(map(re.escape, without))})\b") if without else None
    begin, taken, total = rng.randrange(len(units)), [], 0
    for i in range(len(units)):
        unit = units[(begin + i) % len(units)]
        if unwanted and unwanted.search(unit):
            continue
        size = len(unit.encode())
        if total + size / 2 >= size_bytes:
            return taken
        taken.append(unit)
        total += size
    raise ValueError(f"the filler has {total:,} bytes, expected {size_bytes:,}")
