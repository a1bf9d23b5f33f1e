"""perlfaq1 to perlfaq9 of Debian's perl-doc; filler: other pages of Perl's manual."""
from evaluation import markup
from evaluation.sets import faq

BYTES_PER_TOKEN = 3.9
DROPPED = {  # say nothing without their place in the FAQ
    "How do I do (anything)?", "Can I do [task] in Perl?", "When I tried to run my script, I got this message. What does it mean?",
    "How do I skip some return values?",
}


def make(fetcher, size_tokens):
    folder = next(iter(fetcher.debian("perl-doc").glob("usr/share/perl/*/pod")))
    pods = {p.stem: markup.pod_sections(markup.read_pod(p)) for p in sorted(folder.glob("perl*.pod"))}
    pages = {name: sections for name, sections in pods.items() if name[:-1] == "perlfaq" and name[-1].isdigit()}
    # Deltas are lists of changes; perltoc and perlfaq list the questions.
    filler = {name: markup.as_text(sections) for name, sections in pods.items()
              if not name.startswith("perlfaq") and not name.endswith("delta") and name not in ("perltoc", "perlunifaq")}
    return faq.make("perlfaq", pages, filler, int(size_tokens * BYTES_PER_TOKEN), fetcher.versions_of("perl-doc"), DROPPED)
