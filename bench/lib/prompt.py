"""What `ask` would put between the chat template's marks if given ranges were all that it had gathered."""

SKIPPED = "\n[...]\n"  # as in runtime/recompute/prompt.cc


def of_ranges(text, ranges, asked):
    """Ranges that touch or overlap are one passage."""
    passages = []
    for begin, end in sorted(ranges):
        if passages and begin <= passages[-1][1]:
            passages[-1][1] = max(end, passages[-1][1])
        else:
            passages.append([begin, end])
    return "".join(("" if begin == 0 else SKIPPED) + text[begin:end].decode(errors="ignore") for begin, end in passages) + "\n\n" + asked
