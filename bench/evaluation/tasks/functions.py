"""Functions in code: what one returns, which is wrong, which does what is asked (InfiniteBench's Code.Run and Code.Debug,
arXiv 2402.13718, section 3).

The paper: `Code.Run` asks what a function returns that calls others, each adding or subtracting a number; `Code.Debug` plants an
error in one function of a repository and offers four. Ours: `code_run` has two to four functions in a row, among others alike.
`code_debug` misspells one name in a function of a real package, so that nothing of that name is defined; four functions are offered
by name, and one is wrong. `code_find` offers nothing: a docstring's first sentence, which the text then lacks, asks for its function.
"""
import ast
import builtins

from lib import python_modules
from lib.test_text import Builder
from tasks.task import Task
from tasks.words import Words

FUNCTION = "def {name}(x):\n    return {body}\n\n\n"
DEEPEST = 4
CHOICES = 4


def chained(words, rng, depth):
    """(what the first returns for `argument`, argument, [(name, code)] from the first to the last)"""
    names, functions = ["func_" + words.number(6) for _ in range(depth)], []
    argument = total = rng.randrange(-50, 50)
    for i, name in enumerate(names):
        added = rng.choice([n for n in range(-99, 100) if n])
        total += added
        inner = f"{names[i + 1]}(x)" if i + 1 < depth else "x"
        functions.append((name, FUNCTION.format(name=name, body=f"{inner} {'+' if added > 0 else '-'} {abs(added)}")))
    return total, argument, functions


def make_run(_, size_bytes, rng, n_questions):
    words, chains, size = Words(rng), [], 0
    while len(chains) < n_questions or size < size_bytes:
        chains.append(chained(words, rng, rng.randrange(2, DEEPEST + 1)))
        size += sum(len(code) for _, code in chains[-1][2])
    functions = [pair for chain in chains for pair in chain[2]]
    rng.shuffle(functions)
    builder = Builder()
    ranges = {name: builder.add(code) for name, code in functions}
    asked = rng.sample(chains, n_questions)
    return builder.text(), [
        {"question": f"What does {functions[0][0]}({argument}) return? Answer with the number only.",
         "evidence": sorted(ranges[name] for name, _ in functions), "answers": [str(total)]} for total, argument, functions in asked]


def names_in(tree):
    """Every name that a module could mean, and those of Python itself."""
    found = set(dir(builtins))
    for node in ast.walk(tree):
        found |= {value for name in ("id", "name", "arg", "attr", "asname") if isinstance(value := getattr(node, name, None), str)}
    return found


def misspelled(name):
    """Two letters changed places: a name that looks alike."""
    for i in range(len(name) - 1):
        if name[i] != name[i + 1]:
            yield name[:i] + name[i + 1] + name[i] + name[i + 2:]


def with_error(source, function):
    """The source with one parameter misspelled where `function` (a node) uses it, in the same length; None if it has no use."""
    known = names_in(ast.parse(source))
    parameters = {a.arg for a in function.args.args if len(a.arg) >= 3 and a.arg != "self"}
    lines = source.splitlines(keepends=True)
    for statement in function.body[1 if ast.get_docstring(function) else 0:]:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in parameters:
                wrong = next((w for w in misspelled(node.id) if w not in known), None)
                line = lines[node.lineno - 1]
                if wrong is not None and line.isascii() and line[node.col_offset:node.end_col_offset] == node.id:
                    lines[node.lineno - 1] = line[:node.col_offset] + wrong + line[node.end_col_offset:]
                    return "".join(lines)
    return None


def plain_functions(source):
    """Functions at a module's top, by nodes."""
    return [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and not node.name.startswith("__")]


def cut(source, room):
    """As much of a module as fits into so many bytes, whole statements at its top."""
    lines, sizes = source.splitlines(keepends=True), [0]
    for line in lines:
        sizes.append(sizes[-1] + len(line.encode()))
    ends = [node.end_lineno for node in ast.parse(source).body]
    return "".join(lines[:max((end for end in ends if sizes[end] <= room), default=0)])


def modules_up_to(texts, size_bytes, rng):
    """[(path, source)] in turn over the packages, the last one cut where the size ends, after a function at its top."""
    chosen, total = [], 0
    for _, path, source in python_modules.in_turn(list(texts.modules()), rng):
        source = cut(source, size_bytes - total)
        if source:
            chosen.append((path, source))
            total += len(source.encode())
        if total > 0.98 * size_bytes:
            return chosen
    if total < 0.9 * size_bytes:
        raise ValueError(f"the packages have {total:,} bytes, expected {size_bytes:,}")
    return chosen


def range_of(builder_begin, source, function):
    """The bytes of a function, its decorators included."""
    lines = source.splitlines(keepends=True)
    first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    begin = builder_begin + len("".join(lines[:first - 1]).encode())
    return [begin, begin + len("".join(lines[first - 1:function.end_lineno]).rstrip().encode())]


def planted(modules, rng, n):
    """(modules with up to n errors, names of the wrong functions, names of others); no name twice in the text."""
    names = [f.name for _, source in modules for f in plain_functions(source)]
    candidates = [(i, f.name) for i, (_, source) in enumerate(modules) for f in plain_functions(source) if names.count(f.name) == 1]
    rng.shuffle(candidates)
    modules, wrong = list(modules), []
    for i, name in candidates:
        path, source = modules[i]
        left = len(candidates) - len(wrong) > CHOICES - 1
        changed = with_error(source, next(f for f in plain_functions(source) if f.name == name)) if len(wrong) < n and left else None
        if changed:
            modules[i] = (path, changed)
            wrong.append(name)
    right = [name for _, name in candidates if name not in wrong]
    if not wrong or len(right) < CHOICES - 1:
        raise ValueError(f"code_debug: {len(modules)} modules have too few functions; take more tokens")
    return modules, wrong, right


def make_debug(texts, size_bytes, rng, n_questions):
    modules, wrong, right = planted(modules_up_to(texts, size_bytes, rng), rng, n_questions)
    builder, ranges = Builder(), {}
    for path, source in modules:
        builder.add(f"# {path}\n\n")
        ranges |= {f.name: range_of(builder.size_bytes, source, f) for f in plain_functions(source)}
        builder.add(source + "\n\n")
    questions = []
    for name in wrong:
        offered = [name, *rng.sample(right, CHOICES - 1)]
        rng.shuffle(offered)
        questions.append({"question": "One of these four functions uses a misspelled name that is not defined anywhere: "
                                      f"{', '.join(offered)}. Which one? Answer with its name only.",
                          "evidence": [ranges[name]], "answers": [name], "labels": offered})
    return builder.text(), questions


def make_find(texts, size_bytes, rng, n_questions):
    modules = modules_up_to(texts, size_bytes, rng)
    names = [n.name for _, s in modules for n in ast.walk(ast.parse(s)) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    candidates = [(i, f) for i, (_, source) in enumerate(modules) for f in python_modules.functions(source)]
    rng.shuffle(candidates)
    asked = {}
    for i, (begin, doc_begin, doc_end, end, sentence) in candidates:
        name = function_name(modules[i][1], begin)
        apart = all(j != i or f[3] < begin or end < f[0] for j, f in asked.values())
        if len(asked) < n_questions and names.count(name) == 1 and apart and name.lower() not in sentence.lower():
            asked[name] = (i, (begin, doc_begin, doc_end, end, sentence))
    if not asked:
        raise ValueError(f"code_find: no function of {len(modules)} modules can be asked for; take more tokens")
    return without_docstrings(modules, asked)


def function_name(source, begin):
    return next(n.name for n in ast.walk(ast.parse(source)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
                and min([n.lineno, *(d.lineno for d in n.decorator_list)]) == begin)


def without_docstrings(modules, asked):
    builder, questions = Builder(), []
    for i, (path, source) in enumerate(modules):
        builder.add(f"# {path}\n\n")
        lines, at = source.splitlines(keepends=True), 0
        for name, (_, (begin, doc_begin, doc_end, end, sentence)) in sorted(asked.items(), key=lambda a: a[1][1][0]):
            if asked[name][0] != i:
                continue
            builder.add("".join(lines[at:begin - 1]))
            evidence = builder.add("".join(lines[begin - 1:doc_begin - 1] + lines[doc_end:end]))
            questions.append({"question": f"Which function of this code does the following? {sentence} Answer with its name only.",
                              "evidence": [evidence], "answers": [name]})
            at = end
        builder.add("".join(lines[at:]) + "\n\n")
    return builder.text(), questions


TASKS = [Task("code_run", "infinitebench", make_run, "all", 48, per_text=4),
         Task("code_debug", "infinitebench", make_debug, "choice", 32, per_text=4),
         Task("code_find", "infinitebench", make_find, "all", 48, per_text=4)]
