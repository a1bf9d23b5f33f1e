"""Tables out of outcomes."""
import numpy as np

from harness.outcomes import difference, mean
from harness.plan import BASE_TOKENS
from harness.rows import ROWS
from tasks import FAMILIES, TASKS

HEAD = ("| row | score | to {base} | visible | score where visible | score where not | retention | prompt tokens | ms | peak MiB | "
        "read, ms |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
LEAST_BASE_SCORE = 0.05  # below, a share of it means nothing


def percent(value):
    return "" if value is None else f"{100 * value:.1f}"


class Tables:
    def __init__(self, outcomes, cells, base):
        self.outcomes, self.base = outcomes, base
        self.by = {(c.task, c.tokens, c.row, c.budget): c for c in cells if c in outcomes.of}
        self.full_base = {c.task: mean(o.score for o in outcomes.of[c].values()) for c in self.by.values()
                          if ROWS[c.row].sees == "full" and c.tokens == BASE_TOKENS}

    def cell(self, task, tokens, row, budget):
        return self.by.get((task, tokens, row, budget if ROWS[row].budgeted else 0))

    def group(self, names, tokens, row, budget):
        """The row's cells of these tasks, as far as there are any."""
        return [c for name in names if (c := self.cell(name, tokens, row, budget))]

    def retention(self, group):
        """Score over the model's own at the base length with everything visible, over the tasks that have both; each weighs the same."""
        both = [(mean(o.score for o in self.outcomes.of[c].values()), self.full_base[c.task]) for c in group if c.task in self.full_base]
        own = mean(base for _, base in both)
        return None if own is None or own < LEAST_BASE_SCORE else mean(score for score, _ in both) / own

    def to_base(self, group, tokens, budget):
        pairs = []
        for cell in group:
            other = self.cell(cell.task, tokens, self.base, budget)
            ids = self.outcomes.common([cell, other]) if other else []
            if ids:
                pairs.append(tuple(np.array([self.outcomes.of[c][i].score for i in ids]) for c in (cell, other)))
        if not pairs or ROWS[group[0].row] is ROWS[self.base]:
            return ""
        gap = [100 * g for g in difference(pairs, np.random.default_rng(1))]
        return f"{gap[0]:+.1f} ({gap[1]:+.1f} to {gap[2]:+.1f})"

    def line(self, group, tokens, budget):
        of = [list(self.outcomes.of[c].values()) for c in group]
        everything = [o for outcomes in of for o in outcomes]
        reading = [r for c in group for r in self.outcomes.reading.get(c, [])]
        peaks = [o.peak_bytes for o in everything] + [r["peak_bytes"] for r in reading]
        said = [f"**{percent(mean(mean(o.score for o in outcomes) for outcomes in of))}**", self.to_base(group, tokens, budget),
                percent(mean(o.visible for o in everything)), percent(mean(o.score for o in everything if o.visible)),
                percent(mean(o.score for o in everything if not o.visible)), percent(self.retention(group)),
                f"{mean(o.tokens for o in everything):,.0f}", f"{mean(o.ms for o in everything):,.0f}", f"{max(peaks) / 2 ** 20:,.0f}",
                f"{mean(r['ms'] for r in reading):,.0f}" if reading else ""]
        return f"| {group[0].row} | {' | '.join(said)} |"

    def table(self, names, tokens, rows, budget):
        groups = [g for row in rows if (g := self.group(names, tokens, row, budget))]
        names_there = {frozenset(c.task for c in g) for g in groups}
        lines = [HEAD[0].format(base=self.base), HEAD[1], *(self.line(g, tokens, budget) for g in groups)] if groups else []
        if len(names_there) > 1:  # a mean over fewer tasks must not look like one over all
            lines += ["", "Tasks in each mean: " + ", ".join(f"{g[0].row} {len(g)}" for g in groups) + "."]
        return lines

    def by_task(self, tasks, tokens, rows, budget):
        rows = [row for row in rows if self.group(tasks, tokens, row, budget)]
        lines = ["| task | questions | " + " | ".join(rows) + " |", "|---|--:|" + "--:|" * len(rows)]
        for task in tasks:
            cells = [self.cell(task, tokens, row, budget) for row in rows]
            if any(cells):
                n = max(len(self.outcomes.of[c]) for c in filter(None, cells))
                lines.append(f"| {task} | {n} | " + " | ".join(self.short(c) for c in cells) + " |")
        return lines if len(lines) > 2 else []

    def short(self, cell):
        """Score, visible; of a completed line the exact matches too."""
        if cell is None:
            return ""
        of = list(self.outcomes.of[cell].values())
        same = [o.exact for o in of if o.exact is not None]
        return f"{percent(mean(o.score for o in of))} ({percent(mean(o.visible for o in of))})" + (
            f" exact {percent(mean(same))}" if same else "")


def markdown(outcomes, cells, arguments, facts, repeat):
    tables = Tables(outcomes, cells, arguments.base)
    parts = ["# Long contexts", "",
             "Percent. *Score* is the mean over tasks, each with the same weight; *visible* is the share of questions whose evidence the model "
             f"saw whole (`bench/lib/gold.py`); *retention* is the score over the model's own at {BASE_TOKENS:,} tokens with everything "
             "visible (row `full`). In brackets: the 95 % interval by a paired bootstrap over each task's questions. Prompt tokens and ms "
             "are means of a question, without loading the model; *read* is the mean of a text's ingest. Peak memory is the largest of all.",
             "", *facts]
    for tokens in arguments.tokens:
        for budget in arguments.budgets:
            families = {f: [t for t in arguments.tasks if TASKS[t].family == f] for f in FAMILIES}
            families = {f: names for f, names in families.items() if tables.table(names, tokens, arguments.rows, budget)}
            if not families:
                continue
            parts += ["", f"## {tokens:,} tokens, {budget:,} gathered", "", *tables.table(arguments.tasks, tokens, arguments.rows, budget)]
            for family, names in families.items():
                if len(families) > 1:
                    parts += ["", f"### {family}", "", *tables.table(names, tokens, arguments.rows, budget)]
            parts += ["", "### Each task: score (visible)", "", *tables.by_task(arguments.tasks, tokens, arguments.rows, budget)]
    if outcomes.refused:
        parts += ["", "Past the model's window, so without a score: " + ", ".join(sorted(map(str, outcomes.refused))) + "."]
    return "\n".join([*parts, "", "To repeat:", "", f"    {repeat}", ""])
