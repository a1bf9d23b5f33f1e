"""From a docstring to its function, in the sources of well-known packages: the question is the docstring's first sentence.

The asked functions lose their docstrings, the others keep theirs, as in code that is partly documented.
"""
import ast
import random
import re

from evaluation.test_text import Builder, TestText

BYTES_PER_TOKEN = 3.7
PACKAGES = ("boltons", "more-itertools", "networkx", "sortedcontainers", "toolz")
MOST_QUESTIONS = 120
LEAST_WORDS, MOST_WORDS = 6, 40
LEAST_LINES = 3  # of code, without the docstring
LARGEST_MODULE_BYTES = 60_000
OF_A_MODULE = 8  # questions at most


def modules(fetcher):
    """[(package/module, source)]"""
    found = []
    for package in PACKAGES:
        with fetcher.wheel(package) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".py") and "test" not in name and "dist-info" not in name:
                    source = archive.read(name).decode()
                    if 2_000 < len(source.encode()) <= LARGEST_MODULE_BYTES:
                        found.append((package, name, source))
    return found


def in_turn(found, rng):
    """The packages' modules in turn, so that the largest package does not make up the text."""
    of_package = {}
    for module in found:
        of_package.setdefault(module[0], []).append(module)
    for group in of_package.values():
        rng.shuffle(group)
    order = []
    while any(of_package.values()):
        order += [group.pop() for group in of_package.values() if group]
    return order


def first_sentence(docstring):
    paragraph = " ".join(re.split(r"\n\s*\n", docstring.strip())[0].split()).replace("``", "").replace("`", "")
    return re.split(r"(?<=[.!?])\s+(?=[A-Z*])", paragraph)[0].replace("*", "")


def is_question(sentence):
    return (LEAST_WORDS <= len(sentence.split()) <= MOST_WORDS and not re.search(r">>>|::|[:,]$|https?:|:[a-z]+:", sentence)
            and not re.match(r"(?i)(deprecated|see |alias|same as|like )", sentence))


def functions(source):
    """[(first line, first line of the docstring, last of it, last line, sentence)], lines counted from 1."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or not ast.get_docstring(node):
            continue
        doc, begin = node.body[0], min([node.lineno, *(d.lineno for d in node.decorator_list)])
        n_code = node.end_lineno - begin + 1 - (doc.end_lineno - doc.lineno + 1)
        if doc.lineno > node.lineno and n_code >= LEAST_LINES + 1 and len(node.body) > 1:
            sentence = first_sentence(ast.get_docstring(node))
            if is_question(sentence):
                found.append((begin, doc.lineno, doc.end_lineno, node.end_lineno, sentence))
    return found


def plain(text):
    return re.sub(r"[\W_]+", " ", text.lower())


def make(fetcher, size_tokens):
    size_bytes = int(size_tokens * BYTES_PER_TOKEN)
    rng = random.Random(f"code {size_bytes}")
    chosen, total = [], 0
    for package, name, source in in_turn(modules(fetcher), rng):
        if total < size_bytes:
            chosen.append((package, name, source))
            total += len(source.encode())
    asked = {}  # module: functions
    candidates = [(name, f) for _, name, source in chosen for f in functions(source)]
    rng.shuffle(candidates)
    everything = plain("\n".join(source for _, _, source in chosen))
    for name, function in candidates:
        once = everything.count(plain(function[4]).strip()) == 1
        nested = any(f[0] <= function[3] and function[0] <= f[3] for f in asked.get(name, []))
        if once and not nested and len(asked.get(name, [])) < OF_A_MODULE and sum(map(len, asked.values())) < MOST_QUESTIONS:
            asked.setdefault(name, []).append(function)
    builder, questions = Builder(), []
    for _, name, source in chosen:
        lines, at = source.splitlines(keepends=True), 0
        builder.add(f"# {name}\n\n")
        for begin, doc_begin, doc_end, end, sentence in sorted(asked.get(name, [])):
            builder.add("".join(lines[at:begin - 1]))
            evidence = builder.add("".join(lines[begin - 1:doc_begin - 1] + lines[doc_end:end]))
            questions.append({"id": f"code-{len(questions)}", "set": "code", "kind": "docstring", "question": sentence,
                              "evidence": [evidence]})
            at = end
        builder.add("".join(lines[at:]) + "\n\n")
    return TestText("code", builder.text(), questions, fetcher.versions_of(*PACKAGES))
