"""The documents say what the command does: --json against docs/JSON.md, --help against docs/CLI.md, links against files.

The command is $REFORM_BINARY, build/release/bin/reform without it.
"""
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFORM = os.environ.get("REFORM_BINARY", str(ROOT / "build/release/bin/reform"))
MODEL = ROOT / "tests/golden/tiny_qwen2.gguf"
VERBS = ("ingest", "ask", "search", "contexts", "show", "pin", "unpin", "rm", "verify", "export", "import", "generate", "serve",
         "heads", "doctor")
MAYBE_NONE = " (maybe none)"  # of a list that may be empty
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "null": type(None)}


def sections(text, level):
    """{heading: body} of a Markdown text; a body ends at the next heading of the same or a higher level."""
    found = {}
    for match in re.finditer(rf"^{'#' * level} (.+)\n((?:(?!#{{1,{level}}} ).*(?:\n|\Z))*)", text, re.M):
        found[match[1]] = match[2]
    return found


def table_rows(body):
    """The cells of the body's table rows, heads and rules left out."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in body.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0].startswith("`")]


def documented_fields(text):
    """{verb or "error": {path: type}}, references to the shared tables resolved."""
    bodies = {heading.lower(): body for heading, body in sections(text, 2).items()}

    def fields(heading):
        result = {}
        for path, kind, *_ in table_rows(bodies[heading]):
            path, shared = path.strip("`"), re.fullmatch(r"\[.+\]\(#(.+)\)", kind)
            if shared:
                result.update({f"{path}.{inner}": t for inner, t in fields(shared[1]).items()})
            elif path in result:
                raise AssertionError(f"{heading}: {path} stands there twice")
            else:
                result[path] = kind
        return result

    common = fields("every object")
    return {name: {**common, **fields(heading)} for name, heading in
            [*((verb, verb) for verb in (*VERBS, "version")), ("error", "errors")]}


def leaves(value, path=""):
    """(path, value) of everything in an object that is not a container; `a[].b` for lists. An empty object is a leaf."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield path, value


def has_type(value, kind):
    allowed = [TYPES[word] for word in kind.removesuffix(MAYBE_NONE).split(" or ")]
    return any(isinstance(value, t) and (t is bool or not isinstance(value, bool)) for t in allowed)


def differences(shown, documented):
    """What an object and its table do not agree on. A documented container is there through its leaves."""
    paths = {path for path, _ in shown}
    containers = {path for path in documented if any(p.startswith((path + ".", path + "[]")) for p in documented if p != path)}
    problems = [f"not documented: {path}" for path in sorted(paths - set(documented))]
    problems += [f"documented and not there: {path}" for path in sorted(set(documented) - containers - paths)
                 if not documented[path].endswith(MAYBE_NONE)]
    problems += [f"{path}: documented as {documented[path]}, found {value!r}" for path, value in shown
                 if path in documented and not has_type(value, documented[path])]
    return problems


class Json(unittest.TestCase):
    """One object of each verb, from a tiny model and a store of its own."""

    @classmethod
    def setUpClass(cls):
        cls.documented = documented_fields((ROOT / "docs/JSON.md").read_text())
        cls.folder = tempfile.TemporaryDirectory()
        home = Path(cls.folder.name)
        (home / "heads.json").write_text('{"heads": ["v0.0", "q1.1"]}')
        (home / "text.txt").write_text("The keeper of the north gate is called Orrin. " * 12)
        cls.env = {**os.environ, "XDG_DATA_HOME": str(home / "data"), "XDG_CACHE_HOME": str(home / "cache")}
        ingest = ("ingest", "--model", MODEL, "--heads", home / "heads.json", "--chunk-tokens", "64", "book",
                  home / "text.txt")
        ask = ("ask", "--gather-tokens", "32", "--edge-tokens", "8", "-n", "4", "--chat-template", "chatml")
        cls.objects = {
            "version": cls.reform("--version"),
            "ingest": cls.reform(*ingest),
            "ask": cls.reform(*ask, "--show-prompt", "book", "Who keeps the gate?"),
            "ask without --show-prompt": cls.reform(*ask, "book", "Who keeps the gate?"),
            "search": cls.reform("search", "--gather-tokens", "32", "--edge-tokens", "8", "book", "Who keeps the gate?"),
            "generate": cls.reform("generate", "--model", MODEL, "-n", "4", "--show-prompt", "The keeper"),
            "serve": cls.served(),
            "contexts": cls.reform("contexts"),
            "show": cls.reform("show", "book"),
            "export": cls.reform("export", "book", home / "book.reform"),
            "import": cls.reform("import", home / "book.reform", "--as", "copy"),
            "verify": cls.damaged(home),
            "pin": cls.reform("pin", "book"),
            "unpin": cls.reform("unpin", "book"),
            "heads": cls.reform("heads", "--model", MODEL, "--questions", "45"),
            "doctor": cls.reform("doctor"),
            "rm": cls.reform("rm", "book"),
            "error": cls.reform("rm", "book", code=3),
        }

    @classmethod
    def served(cls):
        """What the server says once it listens."""
        command = [REFORM, "serve", "--model", MODEL, "--chat-template", "chatml", "--port", "0", "--json"]
        with subprocess.Popen(command, env=cls.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            line = server.stdout.readline()
            server.terminate()
        return json.loads(line)

    @classmethod
    def damaged(cls, home):
        """What verify says of a store with a damaged context in it."""
        blob = max((home / "data").rglob("*.blob"), key=lambda file: file.stat().st_size)
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 1
        blob.write_bytes(content)
        return cls.reform("verify", code=9)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def reform(cls, *arguments, code=0):
        done = subprocess.run([REFORM, *map(str, arguments), "--json"], env=cls.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
        if done.returncode != code:
            raise AssertionError(f"{arguments}: exit status {done.returncode}: {done.stderr}{done.stdout}")
        return json.loads(done.stdout)

    def test_every_verb_shows_the_documented_fields(self):
        for name, documented in self.documented.items():
            with self.subTest(verb=name):
                self.assertEqual(differences(list(leaves(self.objects[name])), documented), [])

    def test_both_kinds_of_source_were_seen(self):
        for verb in ("ask", "search"):
            self.assertEqual({s["kind"] for s in self.objects[verb]["sources"]}, {"match", "edge"})

    def test_the_prompt_is_there_only_when_asked_for(self):
        documented = {path: kind for path, kind in self.documented["ask"].items() if path != "prompt"}
        self.assertEqual(differences(list(leaves(self.objects["ask without --show-prompt"])), documented), [])

    def test_the_schema_is_the_one_described(self):
        said = re.search(r"`schema_version` is (\d+)", (ROOT / "docs/JSON.md").read_text())[1]
        self.assertEqual({o["schema_version"] for o in self.objects.values()}, {int(said)})

    def test_the_examples_are_json_with_documented_fields(self):
        bodies = {heading.lower(): body for heading, body in sections((ROOT / "docs/JSON.md").read_text(), 2).items()}
        for name, documented in self.documented.items():
            with self.subTest(verb=name):
                example = re.search(r"```json\n(.*?)```", bodies["errors" if name == "error" else name], re.S)[1]
                cut = [path for path, value in leaves(json.loads(example.replace("{…}", "{}"))) if value == {}]
                documented = {path: kind for path, kind in documented.items()
                              if path != "prompt" and not any(path.startswith(c + ".") for c in cut)}
                shown = [leaf for leaf in leaves(json.loads(example.replace("{…}", "{}"))) if leaf[0] not in cut]
                self.assertEqual(differences(shown, documented), [])

    def test_a_difference_is_found(self):
        documented = {"a": "integer", "b": "object or null", "b.c": "string", "d[]": "number or null",
                      "e[].f": "string (maybe none)"}
        self.assertEqual(differences(list(leaves({"a": 1, "b": {"c": "x"}, "d": [1.5, None]})), documented), [])
        self.assertEqual(differences(list(leaves({"a": 1, "b": {"c": "x"}, "d": [1], "e": [{"f": "x"}]})), documented), [])
        for planted in ({"a": 1, "b": {"c": "x"}, "d": [1], "e": [{"f": 1}]},
                        {"a": 1, "b": {"c": "x"}, "d": [1], "e": 2}, {"a": 1, "b": {"c": "x"}, "d": []},
                        {"a": 1.5, "b": {"c": "x"}, "d": [1]}, {"a": True, "b": {"c": "x"}, "d": [1]},
                        {"a": 1, "b": {"c": "x", "f": None}, "d": [1]}, {"b": {"c": "x"}, "d": [1]}):
            with self.subTest(planted=planted):
                self.assertEqual(len(differences(list(leaves(planted)), documented)), 1)


def help_options(text):
    """{option: default or ""} out of --help; each spelling of an option on its own."""
    found = {}
    for spellings, default in re.findall(r"^  (-\S+)(?: [A-Z:]+(?:=(\S+))?)?(?:  .*)?$", text, re.M):
        found.update({spelling: default for spelling in spellings.split(",")})
    return found


def documented_options(text, verb, cuda):
    """The same out of docs/CLI.md; `verb` is "" for reform itself, `cuda` whether the build has CUDA."""
    found = {}
    for heading, body in sections(sections(text, 2)["Options"], 3).items():
        heading, _, condition = heading.partition(": ")
        if condition not in ("", "in a build with CUDA"):
            raise AssertionError(f"docs/CLI.md: '{condition}' is no kind of build")
        whose = {"Every verb": VERBS, "Without a verb": ("",)}.get(heading) or heading.split(", ")
        if not set(whose) <= {"", *VERBS}:
            raise AssertionError(f"docs/CLI.md: '{heading}' names no verbs")
        if verb not in whose or (condition and not cuda):
            continue
        for option, default, *_ in table_rows(body):
            for spelling in re.findall(r"`(-[^` ]+)", option):
                if spelling in found:
                    raise AssertionError(f"docs/CLI.md: {spelling} of '{verb}' stands there twice")
                found[spelling] = default.strip("`")
    return found


class Options(unittest.TestCase):
    def test_help_and_page_agree(self):
        page = (ROOT / "docs/CLI.md").read_text()
        cuda = json.loads(self.reform("--version", "--json"))["cuda"]
        for verb in ("", *VERBS):
            with self.subTest(verb=verb):
                shown = self.reform(*([verb] if verb else []), "--help")
                self.assertEqual(help_options(shown), documented_options(page, verb, cuda))

    def test_the_methods_on_the_page_are_those_of_help(self):
        body = sections((ROOT / "docs/CLI.md").read_text(), 2)["Methods"]
        listed = [(re.findall(r"`([^`]+)`", row[0]), row[-1] == "yes") for row in table_rows(body)]
        for verb in ("ask", "search"):
            told = re.search(r"--method NAME=.*\n((?: {20,}\S+: .*\n)+)", self.reform(verb, "--help"))[1]
            with self.subTest(verb=verb):
                self.assertEqual(re.findall(r"^ +(\S+): ", told, re.M),
                                 [name for names, searches in listed for name in names if searches or verb == "ask"])

    def test_options_for_a_gpu_are_on_the_page_for_builds_with_cuda_only(self):
        page = (ROOT / "docs/CLI.md").read_text()
        gpu = {"--max-gpu-memory", "--gpu-weights", "--gpu-products", "--gpu-attention", "--cublas-lt"}
        for verb in ("", *VERBS):
            with self.subTest(verb=verb):
                added = set(documented_options(page, verb, True)) - set(documented_options(page, verb, False))
                self.assertEqual(added, gpu if verb in ("ingest", "ask", "search", "generate", "serve", "heads") else set())

    @staticmethod
    def reform(*arguments):
        return subprocess.run([REFORM, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout

    def test_every_exit_code_is_there(self):
        header = (ROOT / "base/include/reform/status.h").read_text()
        codes = set(re.findall(r"^  k\w+ = (\d+),", header, re.M))
        names = set(re.findall(r'return "(\w+)";', header))
        body = sections((ROOT / "docs/CLI.md").read_text(), 2)["Exit codes"]
        rows = table_rows(re.sub(r"^\| (\d+)", r"| `\1`", body, flags=re.M))
        self.assertEqual(codes | {"141"}, {row[0].strip("`") for row in rows})
        self.assertEqual(names | {"–"}, {row[1].strip("`") for row in rows})


def anchors(text):
    """The anchors that GitHub gives the headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def broken_links(page, root):
    text = page.read_text()
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or root not in file.parents:
            yield target
        elif anchor and anchor not in anchors(file.read_text()):
            yield target


class Pages(unittest.TestCase):
    PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

    def test_links_lead_somewhere(self):
        self.assertIn(ROOT / "README.md", self.PAGES)
        for page in self.PAGES:
            with self.subTest(page=page.name):
                self.assertEqual(list(broken_links(page, ROOT)), [])

    def test_a_broken_link_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder).resolve() / "a.md"
            page.write_text("# One two\n[x](a.md#one-two) [y](#one-two) [z](https://a.b/c) `[q](none)`\n")
            self.assertEqual(list(broken_links(page, page.parent)), [])
            page.write_text("# One\n[x](b.md) [y](a.md#two) [z](../c.md)\n")
            self.assertEqual(list(broken_links(page, page.parent)), ["b.md", "a.md#two", "../c.md"])

    def test_files_named_in_the_map_exist(self):
        page = (ROOT / "ARCHITECTURE.md").read_text()
        named = re.findall(r"`((?:base|kernels|storage|runtime|tools|scripts|tests|docs|heads|bench)/[\w./-]*)`", page)
        self.assertGreater(len(named), 10)
        for path in named:
            with self.subTest(path=path):
                self.assertTrue((ROOT / path).exists())

    def test_the_first_screen_has_the_two_commands(self):
        first = (ROOT / "README.md").read_text().split("\n## ")[0]
        for command in ("./dev demo", "./dev test"):
            self.assertRegex(first, rf"(?m)^ *{re.escape(command)}$")


if __name__ == "__main__":
    unittest.main()
