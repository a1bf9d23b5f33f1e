"""Each rule of scripts/layers.py catches a planted violation and leaves its lawful neighbour alone."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import layers  # noqa: E402


def rules_in(files):
    """The (path, rule) pairs found in a tree of {path: text}."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return [(v.path, v.rule) for v in layers.check_tree(root, sorted(files))]


def body(n_lines):
    return "".join(f"  work({i});\n" for i in range(n_lines))


PUBLIC = {"runtime/include/reform/engine.h": "#include <string>\n", "base/include/reform/status.h": "#include <string>\n"}


class Includes(unittest.TestCase):
    LAWFUL = (
        ("base/a.cc", '#include "base/a.h"\n#include <fmt/format.h>\n'),
        ("kernels/a.cc", '#include "base/views.h"\n#include <reform/status.h>\n'),
        ("storage/disk/a.cc", '#include "storage/format/b.h"\n#include <rocksdb/db.h>\n'),
        ("runtime/model/a.cc", '#include "kernels/ops.h"\n#include "storage/b.h"\n#include <reform/engine.h>\n'),
        ("tools/a.cc", '#include <reform/engine.h>\n#include <reform/status.h>\n#include "tools/b.h"\n'),
        ("tests/runtime/a.cc", '#include "runtime/model/model.h"\n#include "tests/support/b.h"\n'),
        ("runtime/jobs/a.cc", '#include "runtime/model/weights/plan.h"\n#include "runtime/jobs/settings.h"\n'),
        ("runtime/model/weights/a.cc", '#include "runtime/model/synthetic/model.h"\n'),
        ("runtime/CMakeLists.txt", "add_library(a)\n"),
        ("kernels/comment.cc", '// #include "runtime/model/model.h"\n/*\nint a; #include "runtime/b.h" */\n'),
    )
    PLANTED = (
        ("base/a.cc", '#include "kernels/ops.h"\n'),
        ("kernels/a.cc", '#include "storage/store/context_store.h"\n'),
        ("storage/disk/a.cc", '  #  include "kernels/ops.h"\n'),
        ("kernels/a.cc", "#include <reform/engine.h>\n"),
        ("runtime/model/a.cc", '#include "tools/progress.h"\n'),
        ("tools/a.cc", '#include "runtime/model/model.h"\n'),
        ("tools/a.cc", '#include "base/units.h"\n'),
        ("tools/a.cc", "#include <reform/secret.h>\n"),
        ("runtime/model/a.cc", '#include "model.h"\n'),
        ("runtime/include/reform/x.h", "#include <rocksdb/db.h>\n"),
        ("runtime/include/reform/x.h", "#include <cuda_runtime.h>\n"),
        ("runtime/include/reform/x.h", "#include <liburing.h>\n"),
        ("runtime/include/reform/x.h", '#include "runtime/model/model.h"\n'),
        ("examples/a.cc", '#include "runtime/model/model.h"\n'),
        ("runtime/model/a.cc", '#include "runtime/tokenizer/vocab.h"\n'),
        ("runtime/compress/policies/a.cc", '#include "runtime/engine/engine_impl.h"\n'),
        ("runtime/jobs/a.h", '#include "runtime/c_api/calls.h"\n'),
        ("storage/context/a.h", '#include "storage/store/context_store.h"\n'),
    )

    def test_nothing_lies_beside_the_floors(self):
        for path in ("runtime/a.cc", "storage/a.h", "runtime/other/a.cc", "runtime/NOTES.md"):
            with self.subTest(path=path):
                self.assertEqual(rules_in({path: ""}), [(path, "place")])

    def test_lawful(self):
        for path, text in self.LAWFUL:
            with self.subTest(path=path, text=text):
                self.assertEqual(rules_in({**PUBLIC, path: text}), [])

    def test_planted(self):
        for path, text in self.PLANTED:
            with self.subTest(path=path, text=text):
                self.assertEqual(rules_in({**PUBLIC, path: text}), [(path, "include")])


class Sizes(unittest.TestCase):
    HEADERS = (
        "int f(int a) {\n",
        "template <class T = int> requires(sizeof(T) > 1)\nauto g(T a = 3) -> std::vector<int> {\n",
        "class A {\n public:\n  explicit A(int a) : b_{a}, c_(a) {\n",
        "class A : public B<int> {\n  bool operator==(const A& other) const noexcept {\n",
        'namespace reform {\nnamespace {\nTEST_CASE("a { brace: in a name", "[x]") {\n',
        "struct S;\nint x = 3;\nint table[] = {1, 2};\nint y{4};\nStatus S::f(std::function<void(int)> call) const {\n",
        'extern "C" {\nvoid f(void) {\n',
    )

    def test_file_length(self):
        self.assertEqual(rules_in({"base/a.cc": "\n" * 500}), [])
        self.assertEqual(rules_in({"base/a.cc": "\n" * 501}), [("base/a.cc", "file-length")])

    def test_function_length(self):
        for header in self.HEADERS:
            opened = header.count("{") - header.count("}") - header.count("a {")
            closing = "}\n" * opened
            lines_of_header = 1 + header.strip().split("\n")[-1].count("\n")
            with self.subTest(header=header):
                self.assertEqual(rules_in({"base/a.cc": header + body(60) + closing}), [])
                long = header + body(81 - lines_of_header) + closing
                self.assertEqual(rules_in({"base/a.cc": long}), [("base/a.cc", "function-length")])

    def test_kernels_may_be_longer(self):
        self.assertEqual(rules_in({"kernels/a.cc": "void f() {\n" + body(118) + "}\n"}), [])
        self.assertEqual(rules_in({"kernels/a.cc": "void f() {\n" + body(119) + "}\n"}),
                         [("kernels/a.cc", "function-length")])

    def test_a_long_class_is_no_function(self):
        text = "class A {\n" + "  int f() { return 1; }\n" * 90 + "};\nconst int kTable[] = {\n" + "  1,\n" * 90 + "};\n"
        self.assertEqual(rules_in({"base/a.cc": text}), [])

    def test_file_bytes(self):
        self.assertEqual(rules_in({"tests/golden/a.bin": "x" * (1 << 20)}), [])
        self.assertEqual(rules_in({"tests/golden/a.bin": "x" * ((1 << 20) + 1)}), [("tests/golden/a.bin", "file-size")])


class Code(unittest.TestCase):
    LAWFUL = (
        ("runtime/model/a.cc", "A(const A&) = delete;\nA& operator=(const A&) =delete;\n"),
        ("runtime/model/a.cc", "auto s = std::unique_ptr<S>(new S(1));\n"),
        ("runtime/model/a.cc", "store_.reset(new Store(dir));\n"),
        ("storage/disk/a.cc", "File::~File() { if (fd_ >= 0) ::close(fd_); }\n"),
        ("storage/disk/a.cc", "struct Free { void operator()(char* p) const { std::free(p); } };\n"),
        ("runtime/model/a.cc", "stream.close(); file->close(); disclose(x); // new thing, delete it, close(fd)\n"),
        ("runtime/model/a.cc", 'say("new S; delete s; close(fd)");\n'),
        ("kernels/quant_table.cc", "switch (type) { case QuantType::kF32: break; }\n"),
        ("runtime/model/a.cc", "switch (state) { case State::kOpen: break; }\n"),
        ("runtime/model/a.cc", "auto t = QuantType::kQ4K; use(t);\n"),
        ("runtime/model/a.cc", "if (tensor.type == QuantType::kF32) f();\n"),
        ("runtime/model/model_arch.cc", 'if (arch == "llama") return 1;\n'),
        ("docs/A.md", "see /usr/share and shared/work/x\n"),
    )
    PLANTED = (
        ("runtime/model/a.cc", "auto* s = new S(1);\n", "handle"),
        ("runtime/model/a.cc", "void f() { delete s; }\n", "handle"),
        ("runtime/model/a.cc", "void f() { delete[] s; }\n", "handle"),
        ("storage/disk/a.cc", "void f() { ::close(fd); }\n", "handle"),
        ("storage/disk/a.cc", "void f() { std::printf(x); munmap(p, n); }\n", "handle"),
        ("runtime/model/a.cc", "switch (tensor.type) {}\n", "quant-type"),
        ("runtime/model/a.cc", "switch (type) {}\n", "quant-type"),
        ("runtime/model/a.cc", "case QuantType::kQ4K: f();\n", "quant-type"),
        ("kernels/cpu/a.cc", "if (t == QuantType::kQ4K) f();\n", "quant-type"),
        ("runtime/model/a.cc", 'if (arch == "llama") f();\n', "arch"),
        ("runtime/model/a.cc", 'if (hparams.arch_name != "qwen2") f();\n', "arch"),
        ("docs/A.md", "see /wo" + "rk/main\n", "machine-path"),
        ("scripts/a.py", "open('/ro" + "ot/x')\n", "machine-path"),
        ("scripts/a.py", "url = 'https://py" + "pi.org/simple'\n", "registry"),
        ("base/a.cc", "// TO" + "DO later\n", "mark"),
        ("base/a.cc", "// a st" + "ub for now\n", "mark"),
    )

    def test_lawful(self):
        for path, text in self.LAWFUL:
            with self.subTest(path=path, text=text):
                self.assertEqual(rules_in({path: text}), [])

    def test_planted(self):
        for path, text, rule in self.PLANTED:
            with self.subTest(path=path, text=text):
                self.assertEqual(rules_in({path: text}), [(path, rule)])


class Symbols(unittest.TestCase):
    def weak(self, source):
        with tempfile.TemporaryDirectory() as folder:
            text, out = Path(folder) / "a_avx2.cc", Path(folder) / "a_avx2.cc.o"
            text.write_text(source)
            subprocess.run(["g++", "-O2", "-c", str(text), "-o", str(out)], check=True)
            return [v.rule for v in layers.check_objects(folder)]

    def test_a_template_that_is_not_inlined_is_caught(self):
        self.assertEqual(self.weak("template <class T> [[gnu::noinline]] T f(T a) { return a * a; }\n"
                                   "int g(int a) { return f(a) + 1; }\n"), ["weak-symbol"])

    def test_internal_linkage_is_lawful(self):
        self.assertEqual(self.weak("namespace { template <class T> [[gnu::noinline]] T f(T a) { return a * a; } }\n"
                                   "int g(int a) { return f(a) + 1; }\n"), [])


if __name__ == "__main__":
    unittest.main()
