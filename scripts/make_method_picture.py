#!/usr/bin/env python3
"""Draws docs/method.svg: how a text is read once and a question about it is answered.

The store stands between reading and asking. Tokens enter each column at the bottom, the model is in the middle, and the
result is at the top. The card has a ground of its own, so it can be read on any page, and its colours follow the reader's
light or dark mode. A test compares the file with what this writes, and the figures in it with docs/CLI.md. Standard
library only.
"""
import math
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/method.svg"

CHUNK_TOKENS, CACHE_TOKENS, GATHER_TOKENS = 4096, 4096, 2048
N_HEADS, HEAD_DIM = 4, 64
ROW_BYTES = N_HEADS * HEAD_DIM + N_HEADS * 4  # INT8 values, an FP32 scale per head

WIDTH, HEIGHT = 960, 508
PANEL_TOP = 72
TOP, MIDDLE, BOTTOM = 96, 212, 376  # where the three rows begin
READ, STORE, GATHER, RECOMPUTE = (20, 252), (300, 160), (488, 212), (728, 212)  # x and width of the columns

TITLE = "How reform answers: read once, gather, recompute"
DESCRIPTION = (
    "Chunks of the text run through the layers up to the exit layer. The store keeps a row per token, each layer's cache "
    "and the token ids. A question runs over the stored cache and is scored against every row. The best spans and the "
    "question run through the whole model, which answers and names its sources.")

# What each class of shape is drawn with: in light mode, in dark mode.
COLOURS = {
    "ground": ("#ffffff", "#0d1117"), "panel": ("#f6f8fa", "#151b23"), "edge": ("#d0d7de", "#3d444d"),
    "ink": ("#1f2328", "#f0f6fc"), "soft": ("#59636e", "#9198a1"),
    "cache": ("#0969da", "#4493f8"), "cache-tint": ("#ddf4ff", "#10233f"),
    "row": ("#bc4c00", "#f0883e"), "row-tint": ("#ffead6", "#3a2414"),
    "best": ("#1a7f37", "#3fb950"), "best-tint": ("#d2f8da", "#12331f"),
}


def style():
    def rules(mode):
        return " ".join(f".{name}{{fill:{colours[mode]}}} .{name}-line{{stroke:{colours[mode]}}}"
                        for name, colours in COLOURS.items())
    return f"""<style>
text {{ font: 13px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }}
.head {{ font-size: 17px; font-weight: 600 }} .small {{ font-size: 12px }} .strong {{ font-weight: 600 }}
.code {{ font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace }}
path, ellipse, .open {{ stroke-width: 1.5 }} .open {{ fill: none }} .thin {{ stroke-width: 1 }} .dashed {{ stroke-dasharray: 3 3 }}
{rules(0)}
@media (prefers-color-scheme: dark) {{ {rules(1)} }}
</style>"""


def text(x, y, words, classes="ink", anchor="start"):
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" class="{classes}"{where}>{escape(words)}</text>'


def box(x, y, width, height, classes, radius=3):
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}" class="{classes}"/>'


def arrow(points, colour="soft"):
    """A line through the points, with a head at the last one."""
    (x0, y0), (x1, y1) = points[-2:]
    length = math.hypot(x1 - x0, y1 - y0)
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    line = " ".join(f"{x:g},{y:g}" for x, y in [*points[:-1], (x1 - 6 * dx, y1 - 6 * dy)])
    head = [(x1, y1), (x1 - 8 * dx - 4 * dy, y1 - 8 * dy + 4 * dx), (x1 - 8 * dx + 4 * dy, y1 - 8 * dy - 4 * dx)]
    return (f'<path d="M{line}" class="open {colour}-line"/>'
            f'<polygon points="{" ".join(f"{x:g},{y:g}" for x, y in head)}" class="{colour}"/>')


def strip(x, y, n, cell, gap, height, classes_of):
    """n cells side by side; classes_of(i) says how each is drawn."""
    return "".join(box(x + i * (cell + gap), y, cell, height, classes_of(i), 2) for i in range(n))


def heading(column, number, title, command):
    x, width = column
    return (box(x, PANEL_TOP, width, HEIGHT - PANEL_TOP - 16, "panel edge-line thin", 8)
            + f'<circle cx="{x + 12}" cy="30" r="12" class="ink"/>' + text(x + 12, 34.5, number, "ground strong", "middle")
            + text(x + 32, 36, title, "ink head") + text(x, 60, command, "soft code"))


def layers(x, y, width, names, classes="edge-line ground thin"):
    """Boxes one above the other, the first name at the top."""
    return "".join(box(x, y + 24 * i, width, 19, classes)
                   + text(x + width / 2, y + 24 * i + 13.5, name, "ink small", "middle")
                   for i, name in enumerate(names))


def read():
    x = READ[0] + 14
    kept = [(0, 1, 4, 5, 9, 12, 13), (0, 1, 3, 7, 8, 12, 13), (0, 1, 5, 6, 10, 12, 13), (0, 1, 2, 7, 11, 12, 13)]
    return [
        heading(READ, "1", "Read once", "reform ingest"),
        strip(x, TOP + 8, 25, 5, 4, 34, lambda i: "row"),
        text(x, TOP + 62, "a row per token", "ink strong"),
        text(x, TOP + 79, f"the states of {N_HEADS} chosen heads", "soft small"),
        box(x, MIDDLE - 4, 92, 13, "open edge-line dashed"),
        text(x + 102, MIDDLE + 6, "not run", "soft small"),
        layers(x, MIDDLE + 18, 92, ["exit layer", "⋯", "layer 1", "layer 0"]),
        *(strip(x + 102, MIDDLE + 20 + 24 * r, 14, 6, 2.9, 15,
                lambda i, kept=kept[r]: "cache" if i in kept else "open thin edge-line") for r in range(4)),
        text(x, MIDDLE + 132, "KV cache per layer", "ink strong"),
        text(x, MIDDLE + 149, f"{CACHE_TOKENS:,} tokens stay after each chunk", "soft small"),
        arrow([(x + 3 * 38 + 17, BOTTOM + 24), (x + 3 * 38 + 17, BOTTOM + 4)]),
        strip(x, BOTTOM + 28, 6, 34, 4, 26, lambda i: "edge" if i < 3 else "ink" if i == 3 else "open thin edge-line"),
        text(x, BOTTOM + 76, "the text, of any length", "ink strong"),
        text(x, BOTTOM + 93, f"chunks of {CHUNK_TOKENS:,} tokens", "soft small"),
    ]


def store():
    x, width = STORE
    top, at = PANEL_TOP, x + 14
    wall, radius = HEIGHT - PANEL_TOP - 36, width / 2
    cylinder = (f'<path d="M{x},{top + 10} v{wall} a{radius:g},10 0 0 0 {width},0 v-{wall}" class="panel edge-line"/>'
                f'<ellipse cx="{x + radius:g}" cy="{top + 10}" rx="{radius:g}" ry="10" class="ground edge-line"/>')
    return [
        text(x + width / 2, 36, "The store, on SSD", "ink head", "middle"),
        text(x + width / 2, 60, "one RocksDB per context", "soft small", "middle"),
        cylinder,
        strip(at, TOP + 8, 15, 5, 4, 34, lambda i: "row"),
        text(at, TOP + 62, "the index", "ink strong"),
        text(at, TOP + 79, f"{N_HEADS} × {HEAD_DIM} INT8: {ROW_BYTES} bytes", "soft small"),
        *(box(at, MIDDLE + 20 + 24 * r, 131, 15, "cache") for r in range(4)),
        text(at, MIDDLE + 132, "the cache", "ink strong"),
        text(at, MIDDLE + 149, "its size does not grow", "soft small"),
        box(at, BOTTOM + 28, 131, 26, "ground edge-line thin"),
        text(at + 65.5, BOTTOM + 45.5, "785, 18210, …", "soft code", "middle"),
        text(at, BOTTOM + 76, "the token ids", "ink strong"),
        text(at, BOTTOM + 93, "and each one's bytes", "soft small"),
    ]


# Scores along the text, one for each bar; the edges are taken whatever their score.
SCORES = [3, 4, 6, 5, 8, 7, 10, 24, 31, 22, 9, 7, 6, 8, 5, 7, 12, 27, 20, 9, 6, 5, 8, 6, 4, 5]


def gather():
    x, width = GATHER
    at, inner = x + 14, width - 28
    taken = {7, 8, 9, 17, 18}
    bars = "".join(box(at + 7.1 * i, TOP + 42 - score, 5, score, "best" if i in taken else "edge", 1)
                   for i, score in enumerate(SCORES))
    return [
        heading(GATHER, "2", "Gather", "reform ask"),
        bars,
        text(at, TOP + 62, "the best passages", "ink strong"),
        text(at, TOP + 79, f"up to {GATHER_TOKENS:,} tokens", "soft small"),
        layers(at, MIDDLE + 18, inner, ["exit layer", "⋯", "layer 1", "layer 0"], "cache-tint cache-line thin"),
        text(at, MIDDLE + 132, "run over the cache", "ink strong"),
        text(at, MIDDLE + 149, "scored against every row", "soft small"),
        arrow([(at + inner / 2, MIDDLE + 14), (at + inner / 2, TOP + 90)]),
        arrow([(at + inner / 2, BOTTOM + 24), (at + inner / 2, BOTTOM - 6)]),
        box(at, BOTTOM + 28, inner, 26, "ground ink-line thin", 13),
        text(at + inner / 2, BOTTOM + 45.5, "your question", "ink", "middle"),
        text(at, BOTTOM + 76, "the ids of the best spans", "soft small"),
    ]


def recompute():
    x, width = RECOMPUTE
    at, inner = x + 14, width - 28
    return [
        heading(RECOMPUTE, "3", "Recompute", "reform ask"),
        box(at, TOP + 8, inner, 34, "ground edge-line thin", 6),
        text(at + inner / 2, TOP + 29.5, "the answer", "ink strong", "middle"),
        text(at, TOP + 62, "with its sources", "ink strong"),
        text(at, TOP + 79, "report.txt, bytes 1,204–1,377", "soft small"),
        arrow([(at + inner / 2, MIDDLE - 10), (at + inner / 2, TOP + 90)]),
        layers(at, MIDDLE - 6, inner, ["last layer", "⋯", "⋯", "layer 1", "layer 0"], "best-tint best-line thin"),
        text(at, MIDDLE + 132, "the whole model", "ink strong"),
        text(at, MIDDLE + 149, "runs these tokens only", "soft small"),
        arrow([(at + inner / 2, BOTTOM + 24), (at + inner / 2, BOTTOM - 6)]),
        strip(at, BOTTOM + 28, 4, 30, 4, 26, lambda i: "best"),
        box(at + 136, BOTTOM + 28, inner - 136, 26, "ground ink-line thin", 13),
        text(at, BOTTOM + 76, "spans and question", "ink strong"),
        text(at, BOTTOM + 93, "in the chat template", "soft small"),
    ]


def flows():
    """What goes from column to column, over the panels."""
    leaves = READ[0] + READ[1] - 8, STORE[0] + STORE[1] - 11
    arrives = STORE[0] + 10, GATHER[0] + 10, RECOMPUTE[0] + 11
    before, behind = GATHER[0] - 14, (GATHER[0] + GATHER[1] + RECOMPUTE[0]) / 2  # the lines up and down beside gather
    rows, cache, ids, under = TOP + 25, MIDDLE + 63, BOTTOM + 41, BOTTOM + 86
    return [
        *(arrow([(leaves[i], y), (arrives[i], y)], colour)
          for i in (0, 1) for y, colour in ((rows, "row"), (cache, "cache"))),
        arrow([(leaves[0], ids), (arrives[0], ids)]),
        arrow([(leaves[1], ids), (before, ids), (before, under), (behind, under), (behind, ids + 6), (arrives[2], ids + 6)]),
        arrow([(GATHER[0] + GATHER[1] - 10, rows), (behind, rows), (behind, ids - 6), (arrives[2], ids - 6)], "best"),
    ]


def picture():
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{TITLE}</title>", f"<desc>{DESCRIPTION}</desc>", style(),
        box(0.5, 0.5, WIDTH - 1, HEIGHT - 1, "ground edge-line thin", 10),
        *read(), *store(), *gather(), *recompute(), *flows(), "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main():
    PICTURE.write_text(picture())


if __name__ == "__main__":
    main()
