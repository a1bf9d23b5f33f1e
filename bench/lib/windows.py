"""A text cut into windows for the baselines; ranges of bytes that follow each other without gap."""
import re


def pieces(text, most_bytes):
    """Whole lines; a line that is too long is cut after sentences, and where these are too long, between words."""
    for line in re.finditer(rb"[^\n]*\n+|[^\n]+", text):
        if line.end() - line.start() <= most_bytes:
            yield line.start(), line.end()
            continue
        for sentence in re.finditer(rb".+?(?:[.!?]\s+|\s*$)", line[0], re.S):
            begin, end = line.start() + sentence.start(), line.start() + sentence.end()
            if end - begin <= most_bytes:
                yield begin, end
            else:
                yield from packed([(begin + w.start(), begin + w.end()) for w in re.finditer(rb"\s*\S+\s*", sentence[0])], most_bytes)


def packed(ranges, most_bytes):
    """Neighbours joined as long as they fit."""
    windows = []
    for begin, end in ranges:
        if windows and end - windows[-1][0] <= most_bytes:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((begin, end))
    return windows


def of_tokens(text, tokens_per_byte, n_tokens=64):
    most_bytes = int(n_tokens / tokens_per_byte)
    return packed(pieces(text, most_bytes), most_bytes)


def of_words(text, n_words=100):
    begins = [word.start() for word in re.finditer(rb"\S+", text)][::n_words]
    begins[:1] = [0]
    return list(zip(begins, [*begins[1:], len(text)]))


def best(windows, scores, budget_bytes):
    """The best windows up to the budget; the last one is cut where it ends, so that every row gathers as much."""
    taken = []
    for i in sorted(range(len(windows)), key=lambda i: (-scores[i], i)):
        if budget_bytes <= 0:
            break
        begin, end = windows[i]
        taken.append([begin, min(end, begin + int(budget_bytes))])
        budget_bytes -= end - begin
    return sorted(taken)
