"""Debian's FAQ; filler: Debian's policy and its developers' reference, which answer few of its questions."""
import gzip

from evaluation import markup
from evaluation.sets import faq

BYTES_PER_TOKEN = 4.4
DROPPED = {  # say nothing without their place in the FAQ
    "And are there yet other ways of booting a Debian system?", "And how about Debian and traditional System V init?", "What is this FAQ?",
    "Who wrote all that software?", "Where do these codenames come from?", "You are talking about testing being broken. What do you mean by that?",
}


def make(fetcher, size_tokens):
    folder = fetcher.debian("debian-faq") / "usr/share/doc/debian/FAQ"
    pages = {p.name: markup.html_sections(p.read_text(errors="replace")) for p in sorted(folder.glob("*.en.html"))
             if not p.name.startswith("index")}
    folder = fetcher.debian("debian-policy") / "usr/share/doc/debian-policy"
    filler = {p.name: gzip.decompress(p.read_bytes()).decode(errors="replace") for p in sorted(folder.glob("*.txt.gz"))}
    folder = fetcher.debian("developers-reference") / "usr/share/developers-reference"
    filler |= {p.name: gzip.decompress(p.read_bytes()).decode(errors="replace") for p in sorted(folder.glob("*.txt.gz"))}
    versions = fetcher.versions_of("debian-faq", "debian-policy", "developers-reference")
    return faq.make("debianfaq", pages, filler, int(size_tokens * BYTES_PER_TOKEN), versions, DROPPED)
