"""Which cells there are, what each is worth, and how long it will take: so that limited hours go to the most valuable first."""
from collections import Counter
from dataclasses import dataclass

from harness.cells import Cell, n_texts
from harness.rows import ROWS
from tasks import TASKS

BASE_TOKENS = 4096  # the length at which a model's own score is taken, with everything visible
# Work per second and byte of the model's file, from README's speeds on two cores; what was measured since replaces it.
READ_PER_S, PROMPT_PER_S, DECODE_PER_S = 2e11, 1.2e11, 8e9
PROCESS_S = 0.4  # to start a process and open the model
ATTENTION_TOKENS = 20_000  # a prompt of so many costs twice as much per token as a short one
EMBED_TOKENS_PER_S = 1_500  # of the row `dense`
QUESTION_TOKENS = 80  # with the template


@dataclass
class Speed:
    """Of one model on this machine; the shares correct the first guess."""
    model_bytes: int
    read_share: float = 1
    reply_share: float = 1

    def reading_s(self, tokens):
        return self.read_share * tokens * self.model_bytes / READ_PER_S + PROCESS_S

    def reply_s(self, prompt_tokens, new_tokens):
        prompt = prompt_tokens * (1 + prompt_tokens / ATTENTION_TOKENS) * self.model_bytes / PROMPT_PER_S
        return self.reply_share * (prompt + new_tokens * self.model_bytes / DECODE_PER_S) + PROCESS_S


def all_cells(arguments, window=None):
    """In the order of the tables; without those whose text alone is longer than the model's window."""
    cells = [Cell(task, tokens, arguments.seed, row, budget, min(arguments.per_text or TASKS[task].per_text, TASKS[task].per_text))
             for task in arguments.tasks for tokens in arguments.tokens for row in arguments.rows
             for budget in (arguments.budgets if ROWS[row].budgeted else [0])]
    return [c for c in cells if window is None or visible_tokens(c) < window]


def visible_tokens(cell):
    """Of the text in the prompt, about."""
    sees = ROWS[cell.row].sees
    return cell.tokens if sees == "full" else {"evidence": 200, "nothing": 0}.get(sees, min(cell.budget or 256, cell.tokens))


def asking_s(cell, missing, speed, n_questions):
    seconds = missing * speed.reply_s(visible_tokens(cell) + QUESTION_TOKENS, TASKS[cell.task].reply_tokens / 2)
    return seconds + (n_texts(cell, n_questions) * cell.tokens / EMBED_TOKENS_PER_S if ROWS[cell.row].sees == "dense" else 0)


def reading_key(cell):
    """Cells with the same key ask the same contexts; None if a cell needs none."""
    row = ROWS[cell.row]
    return (cell.task, cell.tokens, cell.seed, cell.per_text, row.ingest) if row.sees == "ask" else None


def comparison(cell):
    """Cells that are worth most together, as they answer the same questions. The whole text stands alone, as it costs most."""
    return (cell.task, cell.tokens, ROWS[cell.row].sees == "full")


def worth(cell):
    """Longer texts say more."""
    return ROWS[cell.row].worth * (cell.tokens / BASE_TOKENS) ** 0.5


def seconds_of(cells, missing, speed, n_questions, is_read):
    """{cell: seconds}; what must be read is with the first cell that needs it."""
    read, seconds = set(), {}
    for cell in cells:
        key, seconds[cell] = reading_key(cell), asking_s(cell, missing[cell], speed, n_questions)
        if key and key not in read and not is_read(cell):
            seconds[cell] += n_texts(cell, n_questions) * speed.reading_s(cell.tokens)
            read.add(key)
    return seconds


def in_order_of_worth(cells, missing, speed, n_questions, is_read=lambda cell: False):
    """[[(cell, seconds)]]: comparisons by their worth per second, of the cells that lack replies. `missing`: {cell: replies}

    Each comparison of a family makes its next one worth less, so that few hours see something of all families. What retention is a
    share of, the whole text at the base length, comes right before the task's first comparison.
    """
    left = [cell for cell in cells if missing[cell]]
    seconds, groups = seconds_of(left, missing, speed, n_questions, is_read), {}
    for cell in left:
        groups.setdefault(comparison(cell), []).append(cell)
    rate = {key: sum(map(worth, group)) / sum(seconds[c] for c in group) for key, group in groups.items()}
    return [[(cell, seconds[cell]) for cell in groups[key]] for key in in_turn(rate)]


def in_turn(rate):
    """Keys of comparisons, {key: worth per second}, each time the best one."""
    left, order, chosen = dict(rate), [], Counter()
    while left:
        best = max(left, key=lambda key: left[key] / (1 + chosen[TASKS[key[0]].family]))
        base = (best[0], BASE_TOKENS, True)
        for key in ((base, best) if base in left and base != best else (best,)):
            order.append(key)
            del left[key]
        chosen[TASKS[best[0]].family] += 1
    return order


def measured(speed, kept):
    """The speed as the kept cells have it: sums of what was measured over sums of what was guessed."""
    read = {key: r for cell in kept for key, r in cell["reading"].items() if r["tokens"]}
    guess = sum(speed.reading_s(r["tokens"]) for r in read.values())
    if guess:
        speed.read_share = sum(r["ms"] / 1000 + PROCESS_S for r in read.values()) / guess
    replies = [(r, TASKS[cell["cell"]["task"]].reply_tokens) for cell in kept for of in cell["replies"].values() for r in of.values()]
    guess = sum(speed.reply_s(r["tokens"], n / 2) for r, n in replies)
    if guess:
        speed.reply_share = sum(r["ms"] / 1000 + PROCESS_S for r, _ in replies) / guess
    return speed
