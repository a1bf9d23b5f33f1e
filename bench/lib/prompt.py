"""What `ask` would put between the chat template's marks if given ranges were all that it had gathered."""

SKIPPED = "\n[...]\n"  # as in runtime/recompute/prompt.cc


def of_ranges(text, ranges, asked):
    """Ranges that touch or overlap are one passage; without any, the question stands alone."""
    passages = []
    for begin, end in sorted(ranges):
        if passages and begin <= passages[-1][1]:
            passages[-1][1] = max(end, passages[-1][1])
        else:
            passages.append([begin, end])
    shown = [("" if begin == 0 else SKIPPED) + text[begin:end].decode(errors="ignore") for begin, end in passages]
    return "".join(shown) + ("\n\n" if shown else "") + asked
