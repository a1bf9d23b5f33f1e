"""Pictures out of outcomes, as SVG: scores by depth and length, scores by length, recall by budget."""
import collections

import numpy as np

from harness.outcomes import mean
from harness.rows import ROWS
from tasks import FAMILIES, TASKS

DEPTHS = 10  # bands of a text
INK = "#222222"


def figure(n_panels, width=3.4, height=2.9, columns=3):
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    columns = min(columns, n_panels)
    n_rows = -(-n_panels // columns)
    made, axes = pyplot.subplots(n_rows, columns, figsize=(width * columns + 0.5, height * n_rows + 0.3), squeeze=False,
                                 layout="constrained")
    for axis in axes.flat[n_panels:]:
        axis.axis("off")
    return made, list(axes.flat[:n_panels])


def save(made, path):
    from matplotlib import pyplot
    made.savefig(path, metadata={"Date": None})
    pyplot.close(made)
    return path


def thousand(tokens):
    return f"{tokens / 1024:g}k"


def depth_by_length(outcomes, row, budget, lengths):
    """[DEPTHS, n_lengths]: mean score of the questions whose evidence lies there; NaN where there are none."""
    bands = collections.defaultdict(list)
    for cell, of in outcomes.of.items():
        if cell.row == row and cell.budget == (budget if ROWS[row].budgeted else 0):
            for o in of.values():
                if o.depth is not None:
                    bands[min(int(o.depth * DEPTHS), DEPTHS - 1), cell.tokens].append(o.score)
    return np.array([[np.mean(bands[d, tokens]) if (d, tokens) in bands else np.nan for tokens in lengths] for d in range(DEPTHS)])


def heat(outcomes, rows, budget, lengths, path):
    """A panel per row: depth of the evidence down, length across; the colour is the mean score."""
    grids = {row: grid for row in rows if not np.isnan(grid := depth_by_length(outcomes, row, budget, lengths)).all()}
    if not grids:
        return None
    made, axes = figure(len(grids))
    for axis, (row, grid) in zip(axes, grids.items()):
        axis.set_facecolor("#eeeeee")
        shown = axis.imshow(100 * grid, vmin=0, vmax=100, aspect="auto", cmap="viridis")
        for (depth, column), score in np.ndenumerate(grid):
            if not np.isnan(score):
                axis.text(column, depth, f"{100 * score:.0f}", ha="center", va="center", fontsize=7, color="white" if score < 0.6 else INK)
        axis.set_xticks(range(len(lengths)), [thousand(n) for n in lengths])
        axis.set_yticks(np.linspace(-0.5, DEPTHS - 0.5, 5), ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axis.set_title(row, fontsize=10)
    made.colorbar(shown, ax=axes, label="score, %", shrink=0.8)
    made.supxlabel("tokens of the text", fontsize=10)
    made.supylabel("depth of the evidence", fontsize=10)
    return save(made, path)


def means(outcomes, tasks, row, budget, tokens, what):
    """The mean over the tasks of what(outcome); None unless all tasks are there."""
    cells = {c.task: c for c in outcomes.of if (c.row, c.tokens, c.budget) == (row, tokens, budget if ROWS[row].budgeted else 0)}
    return mean(mean(map(what, outcomes.of[cells[t]].values())) for t in tasks) if all(t in cells for t in tasks) else None


def lines(axis, rows, xs, value):
    """A line per row through the points that there are: value(row, x)."""
    for i, row in enumerate(rows):
        points = [(x, 100 * y) for x in xs if (y := value(row, x)) is not None]
        if points:
            axis.plot(*zip(*points), marker="osD^vP*X<>"[i % 10], markersize=4, linewidth=1.3, color=f"C{i % 10}", label=row)
    axis.set_xscale("log", base=2)
    axis.set_xticks(xs, [thousand(x) if x >= 1024 else str(x) for x in xs])
    axis.minorticks_off()
    axis.set_ylim(-2, 102)
    axis.grid(alpha=0.3)


def legend(made, axes):
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels())}
    if found:
        made.legend(found.values(), found.keys(), loc="outside upper center", ncols=6, fontsize=8, frameon=False)


def by_length(outcomes, tasks, rows, budget, lengths, path):
    """A panel per family: the score against the length."""
    panels = {family: names for family in FAMILIES if (names := [t for t in tasks if TASKS[t].family == family])}
    made, axes = figure(len(panels))
    for axis, (family, names) in zip(axes, panels.items()):
        lines(axis, rows, lengths, lambda row, tokens, names=names: means(outcomes, names, row, budget, tokens, lambda o: o.score))
        axis.set_title(family, fontsize=10)
    legend(made, axes)
    made.supxlabel("tokens of the text", fontsize=10)
    made.supylabel("score, %", fontsize=10)
    return save(made, path)


def by_budget(outcomes, tasks, rows, budgets, lengths, path):
    """A panel per length: the share of questions whose evidence was visible, against the budget."""
    rows = [row for row in rows if ROWS[row].budgeted]
    lengths = [n for n in lengths if any(c.tokens == n and c.row in rows for c in outcomes.of)]
    if not rows or not lengths:
        return None
    made, axes = figure(len(lengths))
    for axis, tokens in zip(axes, lengths):
        lines(axis, rows, budgets, lambda row, budget, tokens=tokens: means(outcomes, tasks, row, budget, tokens, lambda o: o.visible))
        axis.set_title(f"{thousand(tokens)} tokens", fontsize=10)
    legend(made, axes)
    made.supxlabel("gathered tokens", fontsize=10)
    made.supylabel("evidence visible, %", fontsize=10)
    return save(made, path)


def draw(outcomes, arguments, stem):
    """The paths written; None if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return None
    name = stem.name
    written = [heat(outcomes, arguments.rows, b, arguments.tokens, stem.with_name(f"{name}-depth-{b}.svg")) for b in arguments.budgets]
    written += [by_length(outcomes, arguments.tasks, arguments.rows, b, arguments.tokens, stem.with_name(f"{name}-length-{b}.svg"))
                for b in arguments.budgets]
    written.append(by_budget(outcomes, arguments.tasks, arguments.rows, arguments.budgets, arguments.tokens,
                             stem.with_name(f"{name}-recall.svg")))
    return [path for path in written if path]
