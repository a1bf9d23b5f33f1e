#!/usr/bin/env python3
"""Checks the tree's rules that a compiler does not: who includes whom, sizes, symbols of SIMD files, banned words.

Prints `path:line: rule: what` for each violation and exits 1 if there is any. A script can only approximate C++:
comments and strings are blanked first, functions are found by their braces. ALLOW lists what is exempt, and why.
"""
import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A folder may include from these. Arrows point one way: tools -> runtime -> {storage, kernels} -> base.
MAY_INCLUDE = {
    "base": {"base"},
    "kernels": {"base", "kernels"},
    "storage": {"base", "storage"},
    "runtime": {"base", "kernels", "storage", "runtime"},
    "tools": {"tools"},  # and <reform/...>, as any user of the library
    "examples": {"examples"},
}
# Folders within a folder, lowest first: a file includes from its own and from those before it. Nothing else lies beside
# them but the files named.
FLOORS = {
    "storage": ("format", "disk", "limits", "context", "archive", "store"),
    "runtime": ("include", "jinja", "model", "tokenizer", "chat", "compress", "gather", "heads", "constrain", "recompute", "text", "engine", "jobs", "c_api"),
}
BESIDE_FLOORS = {"CMakeLists.txt", "README.md"}
FILE_LINES = 500
FUNCTION_LINES = 80
KERNEL_FUNCTION_LINES = 120
FILE_BYTES = 1 << 20

# (rule, path prefix): why it is exempt.
ALLOW = {
    ("quant-type", "base/quant_type"): "the geometry table",
    ("quant-type", "kernels/quant_table"): "the one table of quantisation types",
    ("quant-type", "tests/"): "tests name the types they make",
    ("quant-type", "bench/"): "benches name the types they make",
    ("arch", "runtime/model/model_arch"): "the table of architectures",
    ("arch", "tests/"): "tests name the architectures they make",
    ("handle", "base/memory"): "the accounted owner of memory",
    ("handle", "base/exception_status"): "asks the system for memory and gives it back at once",
    ("handle", "runtime/model/gguf.cc"): "Mapping owns the mapped file and closes its descriptor where it opened it",
    ("handle", "storage/disk/files."): "FileDescriptor owns descriptors",
    ("handle", "tools/serve/connection."): "Connection owns the socket of a client",
    ("handle", "tools/descriptors."): "closes a copy of standard output to learn what its file system says",
    ("handle", "tests/"): "tests hold files open on purpose",
}

SOURCE_SUFFIXES = {".cc", ".h", ".c", ".cu", ".cuh"}
TEXT_SUFFIXES = SOURCE_SUFFIXES | {".py", ".sh", ".cmake", ".txt", ".md", ".json", ".supp", ""}


@dataclass(frozen=True)
class Violation:
    path: str
    line: int
    rule: str
    what: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.what}"


def allowed(rule, path):
    return any(r == rule and path.startswith(prefix) for r, prefix in ALLOW)


def blank(text):
    """`text` with comments, strings and character literals turned to spaces; line numbers stay as they are."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/'
        r'|R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"'
        r'|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)

    def spaces(match):
        found = match.group(0)
        quote = found[0] if found[0] in "\"'" else " "
        return quote + "".join("\n" if c == "\n" else " " for c in found[1:-1]) + (quote if len(found) > 1 else "")

    return pattern.sub(spaces, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def folder_of(path):
    return path.split("/", 1)[0]


def floor_of(path):
    """(folder, number of its floor), or None where the folder has no floors or the path names none of them."""
    parts = path.split("/")
    floors = FLOORS.get(parts[0], ())
    return (parts[0], floors.index(parts[1])) if len(parts) > 2 and parts[1] in floors else None


def check_place(path):
    folder = folder_of(path)
    if folder not in FLOORS or floor_of(path) or path[len(folder) + 1:] in BESIDE_FLOORS:
        return
    yield Violation(path, 0, "place", f"{folder}/ has only folders: {', '.join(FLOORS[folder])}")


def public_headers(paths):
    """{"reform/x.h": folder that owns it}"""
    return {p.split("/include/", 1)[1]: folder_of(p) for p in paths if "/include/reform/" in p}


def check_includes(path, text, publics):
    folder, is_public = folder_of(path), "/include/reform/" in path
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', text, re.M):
        quote, name = match.groups()
        line, target = line_of(text, match.start()), folder_of(name)

        def bad(what):
            return Violation(path, line, "include", what)

        if name.startswith("reform/"):
            owner = publics.get(name)
            if owner is None:
                yield bad(f"no public header {name}")
            elif folder in MAY_INCLUDE and folder not in ("tools", "examples") and owner not in MAY_INCLUDE[folder]:
                yield bad(f"{folder} must not know {owner} ({name})")
        elif is_public and (quote == '"' or re.search(r"[/]|^(lib|cuda|rocksdb)", name)):
            yield bad(f"a public header includes only the standard library and <reform/...>, not {name}")
        elif quote == '"' and folder in MAY_INCLUDE and not name.endswith(".inc"):  # those the build generates
            if "/" not in name or target not in MAY_INCLUDE | {"tests": set(), "bench": set()}:
                yield bad(f"'{name}' is not rooted at the repository")
            elif target not in MAY_INCLUDE[folder]:
                yield bad(f"{folder} must not know {target} ({name})")
            elif (here := floor_of(path)) and (there := floor_of(name)) and there[0] == here[0] and there[1] > here[1]:
                floors = FLOORS[folder]
                yield bad(f"{folder}/{floors[here[1]]} must not know {folder}/{floors[there[1]]} ({name})")


def without_groups(header):
    """`header` without parenthesised groups and template arguments, so that an `=` left over is an initialiser."""
    header = re.sub(r"operator\s*[^\s\w(]+", "operator_", header)
    header = re.sub(r"operator\s*\(\s*\)", "operator_", header)
    for pattern in (r"\([^()]*\)", r"<[^<>;{}()]*>"):
        while True:
            shorter = re.sub(pattern, " ", header)
            if shorter == header:
                break
            header = shorter
    return header


def brace_kind(header):
    """What a `{` after `header` opens: scope (namespace, class), function, or init."""
    header = header.strip()
    bare = without_groups(header)
    if re.search(r"\bnamespace\b|\bextern\s*$", bare) or re.match(r'extern\s*"\s*"', header):
        return "scope"
    if "(" not in header or re.search(r"=", bare):
        return "scope" if re.search(r"\b(class|struct|union|enum)\b", bare) and "=" not in bare else "init"
    if re.search(r"\b(class|struct|union|enum)\b[^;]*$", bare) and not header.endswith(")") and "->" not in bare:
        words = bare.split()
        if words and words[0] in ("class", "struct", "union", "enum", "template"):
            return "scope"
    # `Name(int a) : member_{1}`: an identifier right before the brace is a member of the initialiser list.
    if re.search(r"\)\s*:(?!:)|\}\s*,", header) and re.search(r"[\w>]$", header) and not re.search(
            r"\b(const|noexcept|override|final|mutable|try)$", header):
        return "init"
    return "function"


def functions(text):
    """Yields (first line, last line) of each function body in blanked text, outermost only."""
    code = re.sub(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.M)
    # The lines of directives are gone but for their breaks, so offsets give lines as before.
    stack, begin = [], 0
    for match in re.finditer(r"[{};]", code):
        at, char = match.start(), match.group(0)
        inside = any(kind in ("function", "init") for kind, _ in stack)
        if char == "{":
            header = code[begin:at]
            kind = "inner" if inside else brace_kind(header)
            lead = len(header) - len(header.lstrip())
            stack.append((kind, begin + lead if header.strip() else at))
            if kind in ("scope", "function"):
                begin = at + 1
        elif char == "}":
            kind, opened = stack.pop() if stack else ("scope", at)
            if kind == "function":
                yield line_of(code, opened), line_of(code, at)
            if kind in ("scope", "function"):
                begin = at + 1
        elif not inside:
            begin = at + 1


def check_sizes(path, text, blanked):
    n_lines = text.count("\n")
    if n_lines > FILE_LINES and not allowed("file-length", path):
        yield Violation(path, n_lines, "file-length", f"{n_lines} lines, at most {FILE_LINES}")
    limit = KERNEL_FUNCTION_LINES if folder_of(path) == "kernels" else FUNCTION_LINES
    for first, last in functions(blanked):
        if last - first + 1 > limit and not allowed("function-length", path):
            yield Violation(path, first, "function-length", f"{last - first + 1} lines, at most {limit}")


CODE_RULES = (  # F32 is no quantisation: whether a tensor is plain floats may be asked anywhere
    ("quant-type", r"\bcase\s+QuantType::|[=!]=\s*QuantType::(?!kF32\b)|\bQuantType::(?!kF32\b)\w+\s*[=!]=",
     "a quantisation type is a row of the table, not a branch"),
    ("quant-type", r"\bswitch\s*\(\s*(?:[\w:]+(?:\.|->))*(?:quant_type|type)\s*\)",
     "a switch over types belongs to the table"),
    ("handle", r"(?<![\w.>])\bnew\s+(?:\(|[A-Za-z_])(?![^;]*\bunique_ptr\b)", "raw new: use make_unique or Buffer"),
    ("handle", r"\bdelete\b(?!\s*;)|(?<!=)(?<!= )\bdelete\b", "raw delete"),
    ("handle", r"(?<![\w.>:])(?:::)?(?:close|fclose|munmap|free|malloc)\s*\(", "a handle outside its owner"),
)
RAW_RULES = (  # over the text with its strings
    ("arch", r"\barch(?:itecture)?(?:_name)?\w*(?:\(\))?\s*[=!]=\s*\"", "an architecture is a row of the table"),
)
TEXT_RULES = (
    ("machine-path", r"(?<![\w.])/(?:work|home|root)/\w", "a path of one machine"),
    ("registry", r"\b(?:pypi\.org|pythonhosted\.org)\b(?!/project)", "an address of a package registry"),
    ("mark", r"\b(?:TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b", "unfinished work is not left in the tree"),
)


def in_owner(blanked, offset):
    """A handle is released in its owner: within a destructor, a reset, or a deleter struct's operator()."""
    before = blanked[max(0, offset - 240):offset]
    return re.search(r"~\w+\(\)[^}]*$|operator\(\)\([^)]*\)[^}]*$|unique_ptr<[^;{}]*$|\.reset\([^;]*$", before)


def check_code(path, text, blanked):
    for rule, pattern, what in CODE_RULES:
        for match in re.finditer(pattern, blanked):
            if not allowed(rule, path) and not (rule == "handle" and in_owner(blanked, match.start())):
                yield Violation(path, line_of(blanked, match.start()), rule, what)
    for rule, pattern, what in RAW_RULES:
        for match in re.finditer(pattern, text):
            if not allowed(rule, path):
                yield Violation(path, line_of(text, match.start()), rule, what)
    for match in re.finditer(r"\b[Ss]tu[b](?:bed)?\b", text):
        yield Violation(path, line_of(text, match.start()), "mark", "a placeholder is not left in the tree")


def check_text(path, text):
    for rule, pattern, what in TEXT_RULES:
        for match in re.finditer(pattern, text):
            if not allowed(rule, path):
                yield Violation(path, line_of(text, match.start()), rule, what)


def weak_symbols(object_file):
    """Weak symbols of an object: the linker keeps one copy of each, perhaps the one with the wrong instructions."""
    listing = subprocess.run(["nm", "-C", str(object_file)], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^[0-9a-f ]*\s([WVwvu]) (.+)$", listing, re.M)
    return [name for _, name in found if not name.startswith("DW.ref.")]


def check_objects(build):
    objects = sorted(o for o in Path(build).rglob("*.o") if re.search(r"_(avx2|avx512|amx)\w*\.cc\.o$", o.name))
    for o in objects:
        for name in weak_symbols(o):
            yield Violation(str(o.name)[:-2], 0, "weak-symbol", f"{name}: give it internal linkage")
    return objects


def tracked_files(root):
    listing = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             check=True, capture_output=True).stdout.decode()
    return sorted(p for p in listing.split("\0") if p and (root / p).is_file())


def check_tree(root, paths):
    publics = public_headers(paths)
    for path in paths:
        file = root / path
        yield from check_place(path)
        if file.stat().st_size > FILE_BYTES:
            yield Violation(path, 0, "file-size", f"{file.stat().st_size} bytes, at most {FILE_BYTES}")
            continue
        if file.suffix not in TEXT_SUFFIXES or path.startswith("tests/golden/") or "/corpus/" in path:
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        yield from check_text(path, text)
        if file.suffix in SOURCE_SUFFIXES:
            blanked = blank(text)
            yield from check_includes(path, text, publics)
            yield from check_sizes(path, text, blanked)
            yield from check_code(path, text, blanked)


def main():
    parser = argparse.ArgumentParser(prog="./dev layers")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--build", type=Path, help="build folder whose SIMD objects are checked (build/release)")
    parser.add_argument("--require-objects", action="store_true", help="no SIMD object is an error")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    paths = tracked_files(root)
    violations = list(check_tree(root, paths))
    build = arguments.build or root / "build/release"
    objects = [o for o in build.rglob("*.o") if re.search(r"_(avx2|avx512|amx)\w*\.cc\.o$", o.name)] if build.is_dir() else []
    violations += check_objects(build) if objects else []
    for violation in violations:
        print(violation)
    if not objects:
        print(f"layers: no SIMD objects under {build}, their symbols were not looked at (./dev build first)")
    print(f"layers: {len(paths)} files, {len(objects)} SIMD objects, {len(violations)} violation(s)")
    return 1 if violations or (arguments.require_objects and not objects) else 0


if __name__ == "__main__":
    sys.exit(main())
