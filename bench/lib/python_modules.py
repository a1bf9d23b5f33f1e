"""The modules of well-known Python packages, and their functions by docstring."""
import ast
import re

PACKAGES = ("boltons", "more-itertools", "networkx", "sortedcontainers", "toolz")
LEAST_WORDS, MOST_WORDS = 6, 40
LEAST_LINES = 3  # of code, without the docstring
LARGEST_MODULE_BYTES = 40_000


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
