"""The rule by which evidence counts as gathered. It stands here only; the report applies it to what each cell gathered."""

SHORT_BYTES = 200  # up to this length, all of a range but its white space must be inside
ENOUGH_BYTES = 400  # of a longer range half must be inside, or so many bytes


def covered_bytes(evidence, gathered):
    """Pieces of the range `evidence` that lie in one of the `gathered` ranges, sorted and disjoint."""
    begin, end = evidence
    pieces, at = [], begin
    for first, last in sorted(gathered):
        first, last = max(first, at), min(last, end)
        if first < last:
            pieces.append((first, last))
            at = last
    return pieces


def is_gathered(text, evidence, gathered):
    begin, end = evidence
    pieces = covered_bytes(evidence, gathered)
    if end - begin > SHORT_BYTES:
        return sum(last - first for first, last in pieces) >= min((end - begin) / 2, ENOUGH_BYTES)
    borders = [begin, *(at for piece in pieces for at in piece), end]
    return not any(text[first:last].strip() for first, last in zip(borders[::2], borders[1::2]))


def is_found(text, question, gathered):
    """A question is found when all its evidence is gathered."""
    return all(is_gathered(text, evidence, gathered) for evidence in question["evidence"])
