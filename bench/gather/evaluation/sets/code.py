"""From a docstring to its function, in the sources of well-known packages: the question is the docstring's first sentence.

The asked functions lose their docstrings, the others keep theirs, as in code that is partly documented.
"""
import ast
import random
import re

from lib.test_text import Builder, TestText

BYTES_PER_TOKEN = 3.8
PACKAGES = ("boltons", "more-itertools", "networkx", "sortedcontainers", "toolz")
MOST_QUESTIONS = 120
LEAST_WORDS, MOST_WORDS = 6, 40
LEAST_LINES = 3  # of code, without the docstring
LARGEST_MODULE_BYTES = 40_000
OF_A_MODULE = 10  # questions at most


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
        if node.name.startswith("__"):
            continue  # which class's __getitem__ it is, its source does not say
        doc, begin = node.body[0], min([node.lineno, *(d.lineno for d in node.decorator_list)])
        n_code = node.end_lineno - begin + 1 - (doc.end_lineno - doc.lineno + 1)
        if doc.lineno > node.lineno and n_code >= LEAST_LINES + 1 and len(node.body) > 1:
            sentence = first_sentence(ast.get_docstring(node))
            if is_question(sentence):
                found.append((begin, doc.lineno, doc.end_lineno, node.end_lineno, sentence))
    return found


def plain(text):
    return re.sub(r"[\W_]+", " ", text.lower())


def asked_of(source, everything, rng):
    """Some of a module's functions, in order: none within another, none whose question stands in any other place."""
    chosen, candidates = [], functions(source)
    rng.shuffle(candidates)
    for function in candidates:
        apart = all(other[3] < function[0] or function[3] < other[0] for other in chosen)
        if len(chosen) < OF_A_MODULE and apart and everything.count(plain(function[4]).strip()) == 1:
            chosen.append(function)
    return sorted(chosen)


def make(fetcher, size_tokens):
    size_bytes = int(size_tokens * BYTES_PER_TOKEN)
    rng = random.Random(f"code {size_bytes}")
    found = modules(fetcher)
    everything = plain("\n".join(source for _, _, source in found))
    builder, questions = Builder(), []
    for _, name, source in in_turn(found, rng):
        if builder.size_bytes + len(source.encode()) > 1.05 * size_bytes:
            continue
        lines, at = source.splitlines(keepends=True), 0
        builder.add(f"# {name}\n\n")
        for begin, doc_begin, doc_end, end, sentence in asked_of(source, everything, rng):
            builder.add("".join(lines[at:begin - 1]))
            evidence = builder.add("".join(lines[begin - 1:doc_begin - 1] + lines[doc_end:end]))
            questions.append({"id": f"code-{len(questions)}", "set": "code", "kind": "docstring", "question": sentence,
                              "evidence": [evidence]})
            at = end
        builder.add("".join(lines[at:]) + "\n\n")
    questions = rng.sample(questions, min(MOST_QUESTIONS, len(questions)))
    return TestText("code", builder.text(), sorted(questions, key=lambda q: q["evidence"]), fetcher.versions_of(*PACKAGES))
