"""What came of each question: judged here, anew each time, and not kept."""
from dataclasses import dataclass

import numpy as np

from harness.cells import question_key
from harness.scoring import SCORES, exact
from lib import gold
from lib.bootstrap import resampled_means
from lib.files import sha256
from tasks import TASKS

PLACED = 8  # ranges at most of evidence that has a depth


@dataclass(frozen=True)
class Outcome:
    score: float
    exact: bool | None  # line completion only
    visible: bool  # whether the model saw all evidence
    depth: float | None  # of the evidence, in [0, 1]; None if it stands all over the text
    tokens: int  # that the model ran: the whole prompt
    ms: float
    peak_bytes: int


def outcome(task, test, question, reply):
    evidence = question["evidence"]
    depth = sum(begin for begin, _ in evidence) / len(evidence) / len(test.text) if 0 < len(evidence) <= PLACED else None
    return Outcome(SCORES[task.score](reply["reply"], question), bool(exact(reply["reply"], question)) if task.score == "edit" else None,
                   gold.is_found(test.text, question, reply["sources"]), depth, reply["tokens"], reply["ms"], reply["peak_bytes"])


class Outcomes:
    """of[cell]: {question's id: Outcome}; reading[cell]: [{tokens, ms, peak_bytes}], a text each; refused: cells past the window;
    versions: of the packages that the texts were made of."""

    def __init__(self, cells, all_cells):
        self.of, self.reading, self.refused, self.versions = {}, {}, set(), {}
        for cell in all_cells:
            kept = cells.read(cell)
            if "refused" in kept:
                self.refused.add(cell)
                continue
            self.versions |= kept["versions"]
            found = {}
            for test in cells.replied(cell, kept):
                replies = kept["replies"].get(sha256(test.text), {})
                found |= {q["id"]: outcome(TASKS[cell.task], test, q, replies[question_key(q)])
                          for q in test.questions if question_key(q) in replies}
                if sha256(test.text) in kept["reading"]:
                    self.reading.setdefault(cell, []).append(kept["reading"][sha256(test.text)])
            if found:
                self.of[cell] = found

    def common(self, cells):
        """Ids of the questions that all of these cells have."""
        return sorted(set.intersection(*(set(self.of[c]) for c in cells))) if cells else []


def mean(values):
    values = list(values)
    return float(np.mean(values)) if values else None


def difference(pairs, rng):
    """(mean, low, high) of tasks' scores minus the base's: pairs of arrays, one per task, whose questions are resampled, paired."""
    draws = [resampled_means(one - other, rng) for one, other in pairs]
    low, high = np.percentile(np.mean(draws, 0), (2.5, 97.5))
    return float(np.mean([(one - other).mean() for one, other in pairs])), float(low), float(high)
