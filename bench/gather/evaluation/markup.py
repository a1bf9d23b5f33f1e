"""POD and HTML as plain text, cut at the headings: pages of manuals as a person reads them."""
import html.parser
import re
from dataclasses import dataclass


@dataclass
class Section:
    """What stands under one heading; level 0 is what stands before the first."""
    level: int
    heading: str
    body: str


def pod_sections(source):
    sections, blocks = [Section(0, "", "")], []
    level_of = re.compile(r"=head(\d)\s+(.*)", re.S)
    hidden = False
    for paragraph in re.split(r"\n[ \t]*\n", source.replace("\r", "")):
        paragraph = paragraph.strip("\n")
        if paragraph.startswith("=begin") or paragraph.startswith("=cut"):
            hidden = True
        elif heading := level_of.match(paragraph):
            sections[-1].body, blocks = "\n\n".join(blocks), []
            hidden = False
            sections.append(Section(int(heading[1]), " ".join(pod_plain(heading[2]).split()), ""))
        elif re.match(r"=(end|pod)", paragraph):
            hidden = False
        elif item := re.match(r"=item\s*(.*)", paragraph, re.S):
            hidden = False
            blocks.append(("* " + pod_plain(item[1].removeprefix("*").strip())).strip())
        elif not hidden and paragraph.strip() and not paragraph.startswith("="):
            blocks.append(paragraph if paragraph[0] in " \t" else pod_plain(paragraph).strip())
    sections[-1].body = "\n\n".join(blocks)
    for section in sections:
        section.body = re.sub(r"(?m)^\*\n\n", "* ", section.body)
    return sections


LESS, GREATER = "\ue000", "\ue001"  # stand for < and > that are no markup


def pod_plain(text):
    """The text of a paragraph without its formatting codes (perlpod, "Formatting Codes")."""
    def shown(code, content):
        if code in "XZ":
            return ""
        if code == "E":
            return {"lt": LESS, "gt": GREATER, "sol": "/", "verbar": "|"}.get(content, "")
        if code == "L":
            label, bar, target = content.partition("|")
            if bar or re.match(r"\w+:[^:]", content):
                return label
            page, _, section = target.partition("/") if target else content.partition("/")
            section = section.strip('"')
            # A link that quotes a heading would bring the question back into the text.
            return f"{section} in {page}" if section and page and " " not in section else page or section
        return content
    def protect(match):
        content = re.sub(r"E<(\w+)>", lambda m: shown("E", m[1]), match[3])
        return shown(match[1], content.replace("<", LESS).replace(">", GREATER))
    text = re.sub(r"([A-Z])(<<+)\s(.*?)\s>>+", protect, text, flags=re.S)
    while (after := re.sub(r"([A-Z])<([^<>]*)>", lambda m: shown(m[1], m[2]), text)) != text:
        text = after
    return text.replace(LESS, "<").replace(GREATER, ">")


def read_pod(path):
    raw = path.read_bytes()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
BLOCKS = {"p", "div", "li", "pre", "dt", "dd", "tr", "section", "blockquote", "table", "ul", "ol", "dl", "br"}
LEFT_OUT = {"script", "style", "nav", "head", "footer"}
LEFT_OUT_CLASSES = {"headerlink", "toc", "navheader", "navfooter", "footer", "contents", "related", "sphinxsidebar", "toctree-wrapper"}


class HtmlReader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.sections, self.parts = [Section(0, "", "")], []
        self.hidden, self.in_pre, self.heading = 0, 0, None

    def handle_starttag(self, tag, attributes):
        classes = set((dict(attributes).get("class") or "").split())
        if tag in VOID:
            if tag == "br":
                self.parts.append("\n")
        elif self.hidden or tag in LEFT_OUT or classes & LEFT_OUT_CLASSES:
            self.hidden += 1
        elif re.fullmatch(r"h[1-6]", tag):
            self.close()
            self.heading = []
            self.sections.append(Section(int(tag[1]), "", ""))
        else:
            self.in_pre += tag == "pre"
            if tag in BLOCKS:
                self.parts.append("\n\n" if tag in ("p", "pre", "table", "blockquote", "section") else "\n")
            if tag == "li":
                self.parts.append("* ")

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if self.hidden:
            self.hidden -= 1
        elif re.fullmatch(r"h[1-6]", tag) and self.heading is not None:
            self.sections[-1].heading = " ".join("".join(self.heading).split())
            self.heading = None
        else:
            self.in_pre -= tag == "pre"
            if tag in ("p", "pre", "dt", "dd", "tr"):
                self.parts.append("\n")
            elif tag in ("td", "th"):
                self.parts.append(" ")

    def handle_data(self, data):
        if not self.hidden:
            to = self.parts if self.heading is None else self.heading
            text = data if self.in_pre else re.sub(r"\s+", " ", data)
            if not self.in_pre and (not to or to[-1][-1:] in "\n "):
                text = text.lstrip()
            if text:
                to.append(text)

    def close(self):
        text = re.sub(r"[ \t]+\n", "\n", "".join(self.parts))
        text = re.sub(r"\* *\n+", "* ", text)
        self.sections[-1].body = re.sub(r"\n{3,}", "\n\n", text).strip("\n")
        self.parts = []


def html_sections(source):
    reader = HtmlReader()
    reader.feed(source)
    reader.close()
    return reader.sections


def as_text(sections):
    """A whole page, headings included."""
    return "\n\n".join(part for s in sections for part in (s.heading, s.body) if part.strip())
