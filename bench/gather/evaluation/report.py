"""Recall out of cells: a table per set and over all sets, and a plot. A cell holds what one row gathered from one text."""
import numpy as np

from lib import gold
from lib.bootstrap import resampled_means

class Results:
    """found[row, budget]: {question's id: found or not}; a question's set is in `set_of`."""

    def __init__(self):
        self.found, self.set_of = {}, {}

    def add(self, test, row, budget, gathered):
        found = self.found.setdefault((row, budget), {})
        for question in test.questions:
            if question["id"] in gathered:
                self.set_of[question["id"]] = question["set"]
                found[question["id"]] = gold.is_found(test.text, question, gathered[question["id"]])

    def sets(self, order):
        present = set(self.set_of.values())
        return [name for name in order if name in present]

    def of_set(self, row, budget, name):
        """The set's questions as 0 and 1, in the order of their ids; None if some are missing."""
        found = self.found.get((row, budget), {})
        ids = sorted(i for i, s in self.set_of.items() if s == name)
        return np.array([found[i] for i in ids], float) if all(i in found for i in ids) else None

    def recall(self, row, budget, names):
        """The mean of the sets' recalls, so that a large set weighs no more; None if some are missing."""
        parts = [self.of_set(row, budget, name) for name in names]
        return None if not parts or any(p is None for p in parts) else float(np.mean([p.mean() for p in parts]))

    def difference(self, row, base, budget, names, rng):
        """(mean, low, high) of recall minus the base's: 95 %, resampling each set's questions, paired."""
        means, draws = [], []
        for name in names:
            one, other = self.of_set(row, budget, name), self.of_set(base, budget, name)
            if one is None or other is None:
                return None
            gap = one - other
            means.append(gap.mean())
            draws.append(resampled_means(gap, rng))
        low, high = np.percentile(np.mean(draws, 0), (2.5, 97.5))
        return float(np.mean(means)), float(low), float(high)


def table(results, rows, budgets, names, base):
    lines = ["| row | " + " | ".join(f"{b:,}" for b in budgets) + " |", "|---|" + "--:|" * len(budgets)]
    for row in rows:
        cells = []
        for budget in budgets:
            recall = results.recall(row, budget, names)
            cell = "" if recall is None else f"**{100 * recall:.1f}**"
            if recall is not None and row != base:
                gap = results.difference(row, base, budget, names, np.random.default_rng(1))
                cell += f" ({100 * gap[0]:+.1f}: {100 * gap[1]:+.1f} to {100 * gap[2]:+.1f})" if gap else ""
            cells.append(cell)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def markdown(results, rows, budgets, order, base, facts, repeat):
    names = results.sets(order)
    parts = ["# Recall of evidence at equal token budgets", "",
             "Percent of the questions whose evidence was all gathered within so many tokens "
             "(the rule: `bench/lib/gold.py`). "
             f"In brackets: the difference from {base}, and its 95 % interval by a paired bootstrap over questions.", "", *facts, "",
             f"## All {len(names)} sets, each with the same weight", "", table(results, rows, budgets, names, base)]
    for name in names:
        n = sum(s == name for s in results.set_of.values())
        parts += ["", f"## {name}: {n} questions", "", table(results, rows, budgets, [name], base)]
    return "\n".join([*parts, "", "To repeat:", "", f"    {repeat}", ""])


def plot(results, rows, budgets, order, path):
    """Recall against the budget: all sets together, then each; False if matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("svg")
    from matplotlib import pyplot
    names = results.sets(order)
    panels = [("all sets", names), *((name, [name]) for name in names)]
    columns = min(3, len(panels))
    figure, axes = pyplot.subplots(-(-len(panels) // columns), columns, figsize=(4 * columns, 3 * -(-len(panels) // columns)),
                                   squeeze=False, sharex=True, sharey=True)
    for axis, (title, chosen) in zip(axes.flat, panels):
        for row in rows:
            points = [(b, 100 * r) for b in budgets if (r := results.recall(row, b, chosen)) is not None]
            if points:
                axis.plot(*zip(*points), marker="o", markersize=3, linewidth=1.2, label=row)
        axis.set_title(title, fontsize=10)
        axis.set_xscale("log", base=2)
        axis.set_xticks(budgets, [f"{b:,}" for b in budgets])
        axis.set_ylim(0, 101)
        axis.grid(alpha=.3)
    for axis in axes.flat[len(panels):]:
        axis.axis("off")
    axes[0][0].legend(fontsize=7)
    figure.supxlabel("gathered tokens")
    figure.supylabel("questions found, %")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
    return True
