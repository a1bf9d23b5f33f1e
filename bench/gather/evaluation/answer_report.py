"""Tables of right answers out of replies. What was right or gathered is judged here, anew each time, and not kept."""
from dataclasses import dataclass

import numpy as np

from evaluation import judge
from lib import gold
from lib.bootstrap import resampled_means


@dataclass(frozen=True)
class Outcome:
    right: bool
    gathered: bool
    tokens: int
    seconds: float


class Outcomes:
    """of[row][set, question]: Outcome"""

    def __init__(self):
        self.of = {}

    def add(self, row, test, question, answer, reply):
        self.of.setdefault(row, {})[question["set"], question["question"]] = Outcome(
            judge.is_right(reply["reply"], answer), gold.is_found(test.text, question, reply["sources"]),
            reply["tokens"], reply["seconds"])

    def sets(self, order):
        present = {key[0] for outcomes in self.of.values() for key in outcomes}
        return [name for name in order if name in present]

    def common(self, rows, names):
        """(rows with a reply in these sets, the questions that all of them have replied to)"""
        asked = {row: {key for key in self.of.get(row, {}) if key[0] in names} for row in rows}
        rows = [row for row in rows if asked[row]]
        return rows, sorted(set.intersection(*(asked[row] for row in rows))) if rows else []


def percent(values):
    return f"{100 * np.mean(values):.1f}" if len(values) else ""


def difference(right, base, rng):
    """Right answers more than the base's, in percent of the questions, with the 95 % interval: questions resampled, paired."""
    gap = 100 * (np.array(right, float) - np.array(base, float))
    low, high = np.percentile(resampled_means(gap, rng), (2.5, 97.5))
    return f"{gap.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def table(outcomes, rows, names, base, without_text):
    rows, keys = outcomes.common(rows, names)
    if not keys:
        return ["No question has a reply in all rows."]
    right = {row: [outcomes.of[row][key].right for key in keys] for row in rows}
    lines = [f"{len(keys)} questions.", "",
             f"| row | right | to {base} | gathered | right where gathered | right where {without_text} is wrong | tokens | seconds |",
             "|---|--:|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        of = [outcomes.of[row][key] for key in keys]
        unknown = [o.right for o, known in zip(of, right[without_text]) if not known] if without_text in right else []
        cells = [f"**{percent(right[row])}**",
                 difference(right[row], right[base], np.random.default_rng(1)) if base in right and row != base else "",
                 percent([o.gathered for o in of]), percent([o.right for o in of if o.gathered]), percent(unknown),
                 f"{np.mean([o.tokens for o in of]):,.0f}", f"{np.mean([o.seconds for o in of]):.2f}"]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def markdown(outcomes, rows, order, base, without_text, facts, repeat):
    names = outcomes.sets(order)
    parts = ["# Right answers", "",
             "Percent of the questions. *Right* is judged by keywords (`bench/gather/evaluation/judge.py`), *gathered* is said in "
             "`bench/lib/gold.py`: all evidence within what the model saw. In brackets: the 95 % interval by a paired bootstrap over "
             "questions. Tokens and seconds are means: the whole prompt, and the whole question without loading the model.", "", *facts, "",
             "## All questions", "", *table(outcomes, rows, names, base, without_text)]
    for name in names:
        parts += ["", f"## {name}", "", *table(outcomes, rows, [name], base, without_text)]
    return "\n".join([*parts, "", "To repeat:", "", f"    {repeat}", ""])
