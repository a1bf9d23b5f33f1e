"""The FAQ of Debian's python3.11-doc; filler: its tutorial, howtos and library reference."""
from evaluation import markup
from evaluation.sets import faq

BYTES_PER_TOKEN = 4.25
DROPPED = {"How do I make an executable from a Python script?"}  # only points to another question


def make(fetcher, size_tokens):
    folder = next(iter(fetcher.debian("python3.11-doc").glob("usr/share/doc/python3.11/html")))
    def read(path):
        source = path.read_text(errors="replace")
        begin = source.find('role="main"')
        return markup.html_sections(source[source.rfind("<", 0, begin):] if begin >= 0 else source)
    pages = {p.stem: read(p) for p in sorted(folder.glob("faq/*.html")) if p.stem != "index"}
    filler = {f"{p.parent.name}/{p.stem}": markup.as_text(read(p)) for part in ("tutorial", "howto", "library")
              for p in sorted(folder.glob(f"{part}/*.html")) if p.stem != "index"}
    return faq.make("pythonfaq", pages, filler, int(size_tokens * BYTES_PER_TOKEN), fetcher.versions_of("python3.11-doc"), DROPPED)
