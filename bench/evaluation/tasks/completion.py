"""The next line of a file, with the rest of its package at hand: after RepoEval's line completion (arXiv 2303.12570, section 4.1).

The paper: lines of GitHub repositories written after the models' training; the file up to the line is given, other files of the
repository may be retrieved; exact match and edit similarity. Ours: real packages of PyPI, by hash and with permissive licences, which
models may know. The line uses a function or class that another module of the package defines, so that there is evidence: that
definition's first lines. The asked files are not in the text; the package's other modules are, those with evidence first, and then
other packages'.
"""
import ast

from lib.test_text import Builder
from tasks.functions import cut
from tasks.task import Task

LINES_BEFORE = 12
DEFINITION_LINES = 4
LEAST_LINE, MOST_LINE = 20, 100
OF_A_FILE = 2


def definitions(source):
    """{name: (first line, last line that is evidence)} of functions and classes at the top; lines counted from 1."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and len(node.name) > 3 and not node.name.startswith("_"):
            found[node.name] = (node.lineno, min(node.end_lineno, node.lineno + DEFINITION_LINES - 1))
    return found


def code_of(package, modules):
    """{path: source} of a package's modules."""
    return {path: source for p, path, source in modules if p == package}


def one_line(node, lines):
    """The line of a statement that stands on one line by itself, without its indent."""
    line = lines[node.lineno - 1].strip()
    return line if node.lineno == node.end_lineno and LEAST_LINE <= len(line) <= MOST_LINE else None


def targets(path, sources, defined):
    """[(line number, line, name, path of the definition)] of the lines in a file that use what one other module defines."""
    lines, own, found = sources[path].splitlines(), set(definitions(sources[path])), []
    for node in ast.walk(ast.parse(sources[path])):
        line = one_line(node, lines) if isinstance(node, (ast.Assign, ast.Return, ast.Expr)) else None
        if line is None or node.lineno <= LINES_BEFORE:
            continue
        used = {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)} - own
        used = sorted(name for name in used if len(defined.get(name, ())) == 1 and defined[name][0] != path)
        if len(used) == 1:
            found.append((node.lineno, line, used[0], defined[used[0]][0]))
    return found


def all_targets(modules):
    """[(package, path, target)]"""
    found = []
    for package in sorted({p for p, _, _ in modules}):
        sources, defined = code_of(package, modules), {}
        for path, source in sources.items():
            for name in definitions(source):
                defined.setdefault(name, []).append(path)
        found += [(package, path, target) for path in sources for target in targets(path, sources, defined)]
    return found


def draw(found, sizes, size_bytes, n, rng):
    """Up to n targets of one package whose definitions fit into the text: (package, {file: [target]}, files of the definitions)."""
    packages = sorted({package for package, _, _ in found})
    rng.shuffle(packages)
    best = (None, {}, set())
    for package in packages:
        drawn = of_package([(path, target) for p, path, target in found if p == package], sizes, size_bytes, n, rng)
        if n_targets(drawn[0]) > n_targets(best[1]):
            best = (package, *drawn)
    if not best[1]:
        raise ValueError(f"line_completion: no line's definition fits into {size_bytes:,} bytes; take more tokens")
    return best


def n_targets(asked):
    return sum(map(len, asked.values()))


def of_package(found, sizes, size_bytes, n, rng):
    asked, holders = {}, set()
    rng.shuffle(found)
    for path, target in found:
        holder = target[3]
        fits = sum(sizes[h] for h in holders | {holder}) <= size_bytes
        clear = path not in holders and holder not in asked and len(asked.get(path, ())) < OF_A_FILE
        if fits and clear and n_targets(asked) < n:
            asked.setdefault(path, []).append(target)
            holders.add(holder)
    return asked, holders


def filled(package, asked, holders, modules, size_bytes, rng):
    """[(path, source)] of the text in an order drawn: with evidence, of the package, of others, the last one cut."""
    order = sorted((path not in holders, p != package, rng.random(), path, source) for p, path, source in modules if path not in asked)
    chosen, total = [], 0
    for _, _, _, path, source in order:
        source = source if path in holders else cut(source, size_bytes - total)
        if source:
            chosen.append((path, source))
            total += len(source.encode())
    if total < 0.9 * size_bytes:
        raise ValueError(f"line_completion: the packages have {total:,} bytes, expected {size_bytes:,}")
    rng.shuffle(chosen)
    return chosen


def make(texts, size_bytes, rng, n_questions):
    modules = list(texts.modules())
    sources = {path: source for _, path, source in modules}
    sizes = {path: len(source.encode()) for path, source in sources.items()}
    package, asked, holders = draw(texts.once("targets", lambda: all_targets(modules)), sizes, size_bytes, n_questions, rng)
    builder, begins = Builder(), {}
    for path, source in filled(package, asked, holders, modules, size_bytes, rng):
        builder.add(f"# {path}\n\n")
        begins[path] = builder.size_bytes
        builder.add(source + "\n\n")
    questions = []
    for path, of_file in sorted(asked.items()):
        lines = sources[path].splitlines()
        for number, line, name, holder in of_file:
            before = "\n".join(lines[number - 1 - LINES_BEFORE:number - 1])
            questions.append({"question": f"Complete the next line of {path}. Answer with that line of code only.\n\n{before}",
                              "evidence": [defined_at(sources[holder], name, begins[holder])], "answers": [line]})
    return builder.text(), questions


def defined_at(source, name, begin):
    first, last = definitions(source)[name]
    lines = source.splitlines(keepends=True)
    at = begin + len("".join(lines[:first - 1]).encode())
    return [at, at + len("".join(lines[first - 1:last]).rstrip().encode())]


TASKS = [Task("line_completion", "repoeval", make, "edit", 48, per_text=4)]
