"""The GPU run without a GPU: fake programs stand in for nvidia-smi, reform and the benches, in a tree of their own.

Order, limits, merging, bars, errors and memory figures are the run's; what it would find on a chip is not looked at. The package
is made of real programs, small ones.
"""
import hashlib
import json
import os
import select
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import fetch_model  # noqa: E402
import gpu  # noqa: E402
import gpu_bench  # noqa: E402
import gpu_checks  # noqa: E402
import gpu_machine  # noqa: E402
import gpu_report  # noqa: E402
import gpu_run  # noqa: E402
import make_gpu_package  # noqa: E402

FAKES = {
    "path/nvidia-smi": '''
import os, sys
state = os.path.join(os.path.dirname(__file__), "in_use")
pid, mib = open(state).read().split() if os.path.exists(state) else ("", "0")
query = next(a for a in sys.argv if a.startswith("--query"))
if query.startswith("--query-compute-apps"):
    print(f"{pid}, {mib}" if pid else "", flush=True)
    open(state + ".seen", "w").write(pid)
elif query == "--query-gpu=memory.used":
    print(500 + int(mib))
else:
    print("NVIDIA H100 80GB HBM3, 81559, 9.0, 580.65, 1980, 700.00, GPU-1")
''',
    "path/compute-sanitizer": '''
import sys
bad = "racecheck" in sys.argv
print(f"========= ERROR SUMMARY: {int(bad)} error" + "s" * (not bad))
sys.exit(86 if bad else 0)
''',
    "bin/test_kernels": 'print("All tests passed (3 assertions in 2 test cases)")',
    "bin/test_runtime": '''
import sys
if "[gpu][model]" in sys.argv:
    print("smollm2-135m on cuda:0 against avx512: cosine min 0.99971, mean 0.9999, same top 198 of 200")
print("All tests passed (3 assertions in 2 test cases)")
''',
    "bin/bench_gpu": '''
import json, sys
case = {"unit": "TFLOP/s", "median_ms": 1.0, "spread": 0.01, "state": "ok", "note": "right", "per_layer": 1, "work": 7e11}
out = {"peaks": {"dense_bf16_tflops": 800.0, "read_gbs": 3000.0, "dense_by": "cuBLASLt"}, "cases": [
    {**case, "name": "matmul/q4_k/14336x5120/4096", "value": 700.0},
    {**case, "name": "matmul/bf16/14336x5120/4096", "median_ms": 1.2, "value": 583.0},
    {**case, "name": "attention/32x8x128/8192@16384", "value": 500.0}]}
json.dump(out, open(sys.argv[sys.argv.index("--json") + 1], "w"))
''',
    # 1 ms of ingest for each 64 tokens; the driver shows 8 GB for Q4_K, 30 for BF16, until it has been asked.
    "bin/reform": '''
import json, os, sys, time
arguments = [a for a in sys.argv[1:] if a != "--json"]
verb, row = arguments[0], next((a for a in arguments if a.startswith(("q4_k-", "bf16-", "fp8-"))), "model")
if os.environ.get("FAKE_FAILS") == f"{verb} {row}":
    print(json.dumps({"error": {"message": "the GPU is full"}}))
    sys.exit(11)
if "--gpu-products" in arguments and os.environ.get("FAKE_HAS_NO_FP8"):
    print(json.dumps({"error": {"message": "cuda:0: --gpu-products fp8 needs 8.9 or later"}}))
    sys.exit(12)
q4 = "mistral-nemo-12b:q4_k" in arguments
state = os.path.join(os.path.dirname(__file__), "../path/in_use")
open(state + ".new", "w").write(f"{os.getpid()} {7629 if q4 else 28610}")
os.rename(state + ".new", state)
end = time.monotonic() + (20 if row != "model" else 0)
while time.monotonic() < end and not (os.path.exists(state + ".seen") and open(state + ".seen").read() == str(os.getpid())):
    time.sleep(0.01)
os.remove(state)
memory = {"peak_host": 1, "peak_gpu": 3 << 30, "gpu_arena": 4 << 30}
if verb == "ingest":
    store = arguments[arguments.index("--store") + 1]
    os.makedirs(store, exist_ok=True)
    open(os.path.join(store, "data"), "w").write("x")
    n = os.path.getsize(arguments[-1])
    print(json.dumps({"context": {"n_tokens": n}, "timings": {"total_ms": n / 64, "compress_ms": n / 64}, "memory_bytes": memory}))
else:
    question = arguments[-1]
    sources = [{"kind": "match", "begin_byte": 10, "end_byte": 900}, {"kind": "edge", "begin_byte": 0, "end_byte": 10}]
    print(json.dumps({"answer": question, "finish_reason": "length", "sources": sources, "recomputed_tokens": 8300,
        "timings": {"total_ms": 900, "load_ms": 100, "query_ms": 5, "gather_ms": 10, "recompute_ms": 465, "predicted_ms": 320,
                    "predicted_n": 32, "predicted_per_second": 100}, "memory_bytes": memory,
        "gpu_memory_bytes": {"kv_cache": {"planned": 103 << 20, "peak": 100 << 20}, "index": {"planned": 9, "peak": 1}},
        "gpu_weights": {"place": "host", "resident_layers": 30, "streamed_layers": 10, "planned_tokens_per_second": 80}}))
''',
}
SCRIPTS = ("gpu.py", "gpu_bench.py", "gpu_checks.py", "gpu_machine.py", "gpu_report.py", "gpu_run.py", "process_group.py",
           "fetch_model.py", "haystack.py")


class FakeTree(unittest.TestCase):
    """A package's tree of fakes in a directory of its own."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.tree = Path(directory.name)
        for name, text in FAKES.items():
            make_gpu_package.write_program(self.made(name), f"#!{sys.executable}\n{text}")
        for name in SCRIPTS:
            shutil.copyfile(ROOT / "scripts" / name, self.made(f"scripts/{name}"))
        self.made("bench/gpu/attention_peer.py").write_text('print(\'{"skipped": "no PyTorch"}\')\n')
        self.made("package.json").write_text('{"commit": "abc123"}')
        verses = "".join(f"  {i} And verse {i} said: peace be upon it.\n" for i in range(1, 3000))
        self.made("texts/bible.txt").write_text(verses)
        self.made(f"models/{gpu_checks.MODEL}.gguf").write_bytes(b"model")

    def made(self, name):
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def run_gpu(self, *arguments, path=True, **environment):
        env = dict(os.environ, **environment)
        env.pop("CUDA_VISIBLE_DEVICES", None)
        env["PATH"] = f"{self.tree / 'path'}:{env['PATH']}" if path else "/nowhere"
        done = subprocess.run([sys.executable, str(self.tree / "scripts/gpu.py"), "--no-nvml", *arguments], env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240)
        return done.returncode, done.stdout + done.stderr

    def results(self):
        files = list((self.tree / "bench/results/gpu").glob("*.json"))
        self.assertEqual(len(files), 1, files)
        self.assertRegex(files[0].name, r"^h100-80gb-hbm3-\d{4}-\d\d-\d\d\.json$")
        return json.loads(files[0].read_text()), files[0].with_suffix(".md").read_text()

    def test_parts_are_merged_bars_judged_and_errors_recorded(self):
        status, out = self.run_gpu("kernels", "sanitizer", "peer")
        self.assertEqual(status, 1, out)  # racecheck found something
        status, out = self.run_gpu("tests", "model", "job", FAKE_FAILS="ingest bf16-h2o-8k", FAKE_HAS_NO_FP8="1")
        self.assertEqual(status, 1, out)
        results, page = self.results()
        steps = {f"{part}/{s['name']}": s for part, r in results["parts"].items() for s in r["steps"]}
        states = {name: s["state"] for name, s in steps.items()}
        self.assertEqual(states, {
            "tests/kernels": "passed", "tests/runtime": "passed", "sanitizer/memcheck": "passed",
            "sanitizer/racecheck": "failed", "sanitizer/initcheck": "passed", "sanitizer/synccheck": "passed",
            "model/logits": "passed", "model/answers": "passed", "kernels/bench_gpu": "passed", "peer/pytorch": "skipped",
            "job/q4_k-none": "passed", "job/bf16-none": "passed", "job/bf16-h2o-8k": "failed", "job/fp8-none": "skipped"})
        self.assertIn("the GPU is full", steps["job/bf16-h2o-8k"]["note"])
        self.assertIn("needs 8.9", steps["job/fp8-none"]["note"])
        self.assertEqual({r["build"] for r in results["parts"].values()}, {"abc123"})
        row = steps["job/q4_k-none"]
        self.assertEqual(row["tokens"], 262_144)
        self.assertAlmostEqual(row["time_s"], 4.096 + 0.9)
        self.assertEqual(row["peak_bytes"], 7629 << 20)
        self.assertIn("bin/reform ingest --synthetic mistral-nemo-12b:q4_k --device cuda:0", row["command"])
        self.assertNotIn(str(self.tree), row["command"])
        bars = {b["what"]: b["verdict"] for b in results["bars"]}
        self.assertEqual(bars["Q4_K, `none`: time"], "met")
        self.assertEqual(bars["Q4_K, `none`: peak"], "met")
        self.assertEqual(bars["BF16, `none`, 4k chunks, 256 overlap: peak"], "not met")
        self.assertEqual(bars["BF16, `h2o`, chunk 8k, cache 8k: time"], "not measured")
        self.assertEqual(bars["matrix products of phase 1, q4_k, of the dense rate"], "met")
        self.assertEqual(bars["matrix products of phase 1, bf16, of the dense rate"], "not met")
        for text in ("| BF16, `h2o`, chunk 8k, cache 8k | – |", "failed: ", "27.24", "not met", "bin/reform ask --synthetic"):
            self.assertIn(text, page)

    def test_a_million_tokens_are_asked_again_and_bars_relate_to_the_short_run(self):
        status, out = self.run_gpu("million", "memory", "job")
        self.assertEqual(status, 0, out)
        results, page = self.results()
        bars = {b["what"]: (b["verdict"], b["value"]) for b in results["bars"]}
        self.assertEqual(bars["1M tokens, Q4_K: peak in the arena, of the 256k one's"], ("met", 1.0))
        verdict, value = bars["1M tokens, Q4_K: time, of the 256k one's"]
        self.assertEqual(verdict, "met")
        self.assertAlmostEqual(value, (4 * 4.096 + 0.9) / (4.096 + 0.9), places=3)
        self.assertEqual(bars["ask on 1M tokens: first token, after loading"], ("met", 0.48))
        self.assertEqual(bars["Q4_K, `none`, `--max-gpu-memory 4GiB`: peak, of the cap"][0], "not met")  # 8 GB
        self.assertEqual(bars["Q4_K, `none`, `--max-gpu-memory 4GiB`: decode, of the planned rate"], ("met", 31 / 0.32 / 80))
        self.assertEqual(bars["Q4_K, `none`: the arena, of its peak"][0], "not met")
        self.assertEqual(bars["Q4_K, `none`: plan against peak, the worst category"], ("not met", 0.03))
        for text in ("its files read from the disk", "30 of 40 layers, the rest from host"):
            self.assertIn(text, page)

    def test_a_run_at_another_scale_judges_no_whole_job(self):
        status, out = self.run_gpu("job", "--scale", "0.05")
        self.assertEqual(status, 0, out)
        results, _ = self.results()
        self.assertEqual(results["parts"]["job"]["steps"][0]["tokens"], 13_107)
        self.assertEqual({b["verdict"] for b in results["bars"] if "time" in b["what"]}, {"not measured"})

    def test_without_a_gpu_it_says_what_is_missing_and_runs_nothing(self):
        status, out = self.run_gpu("job", path=False)
        self.assertEqual(status, gpu.NOTHING_RAN)
        self.assertIn("nvidia-smi", out)
        self.assertIn("nothing was run", out)
        self.assertFalse((self.tree / "bench/results").exists())

    def test_a_part_or_package_that_is_not_there_is_refused(self):
        status, out = self.run_gpu("everything")
        self.assertEqual(status, 2)
        self.assertIn("kernels", out)
        status, out = self.run_gpu("--package", str(self.tree / "none.tar.xz"))
        self.assertEqual(status, 2)
        self.assertIn("gpu-package", out)


class Limits(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.place = gpu_run.Place(programs=Path(directory.name), tree=Path(directory.name), work=Path(directory.name) / "work")

    def part(self, *steps, limit_s=60):
        return gpu_run.run_part(self.place, gpu_run.Part("p", "", limit_s, lambda _: list(steps)), lambda _: None)

    def test_no_part_takes_more_than_ten_minutes_nor_all_more_than_25(self):
        self.assertLessEqual(sum(p.limit_s for p in gpu.PARTS.values()), 25 * 60)
        for part in gpu.PARTS.values():
            self.assertLessEqual(part.limit_s, 600)

    def test_a_program_past_its_limit_is_stopped_with_its_children(self):
        pipe = self.place.work.parent / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        script = f"exec 3> {pipe}; echo begun >&3; sleep 1000 & sleep 1000"
        record = self.part(gpu_run.Step("slow", lambda place, s: place.call(["sh", "-c", script], s, "slow"), 3))
        self.assertEqual(record["steps"][0]["state"], "failed")
        self.assertIn("not done after 3 s", record["steps"][0]["note"])
        self.assertEqual(os.read(reader, 100), b"begun\n")
        # The pipe ends when the last of them is gone; a child that lived on would hold it past this wait.
        self.assertTrue(select.select([reader], [], [], 60)[0])
        self.assertEqual(os.read(reader, 100), b"")

    def test_what_the_time_does_not_reach_is_said(self):
        def sleep(place, limit_s):
            place.call(["sleep", "60"], limit_s, "sleep")
        record = self.part(gpu_run.Step("a", sleep, 50), gpu_run.Step("b", sleep, 50), limit_s=2)
        self.assertEqual([s["state"] for s in record["steps"]], ["failed", "not reached"])

    def test_a_bug_in_a_step_is_its_own_failure(self):
        record = self.part(gpu_run.Step("a", lambda *_: {}["none"], 5), gpu_run.Step("b", lambda *_: {"note": "x"}, 5))
        self.assertEqual([s["state"] for s in record["steps"]], ["failed", "passed"])
        self.assertIn("KeyError", record["steps"][0]["note"])


class Memory(unittest.TestCase):
    def sample(self, before, readings):
        sampler = gpu_machine.MemorySampler(mock.Mock(read=mock.Mock(return_value=before)))
        sampler.begin()
        sampler.pid = 7
        for reading in readings:
            sampler.take(*reading)
        return sampler.stop()

    def test_peaks_are_the_process_s_own_or_what_the_device_grew_by(self):
        for before, readings, process, device in (
                ((100, {}), [(400, {7: 250}), (900, {7: 600}), (300, {7: 100})], 600, 800),
                ((100, {3: 50}), [(400, {3: 50, 7: 250})], 250, 300),
                ((100, {3: 50}), [(400, {3: 50, 91: 250})], 250, 300),  # a pid of another namespace
                ((100, {3: 50}), [(400, {3: 50, 91: 250, 92: 10})], None, 300),  # whose is it?
                ((100, {}), [(400, {})], None, 300), ((100, {}), [], None, 0)):
            with self.subTest(before=before, readings=readings):
                found = self.sample(before, readings)
                self.assertEqual((found["process_bytes"], found["device_growth_bytes"]), (process, device))

    def test_one_source_of_a_peak_for_both_processes(self):
        known, unknown = {"process_bytes": 5, "device_growth_bytes": 9}, {"process_bytes": None, "device_growth_bytes": 8}
        self.assertEqual(gpu_bench.peak_bytes(known, known), (5, "process"))
        self.assertEqual(gpu_bench.peak_bytes(known, unknown), (9, "device_growth"))


class Model(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.tree = Path(directory.name)
        content = os.urandom(100_000)
        expected = replace(fetch_model.MODELS[gpu_checks.MODEL], size_bytes=len(content),
                           sha256=hashlib.sha256(content).hexdigest())
        patch = mock.patch.dict(fetch_model.MODELS, {gpu_checks.MODEL: expected})
        patch.start()
        self.addCleanup(patch.stop)
        (self.tree / "source").mkdir()
        (self.tree / "source" / f"{gpu_checks.MODEL}.gguf").write_bytes(content)
        self.content = content
        with mock.patch.object(make_gpu_package, "PART_BYTES", 30_000):
            self.parts = make_gpu_package.split_model(gpu_checks.MODEL, self.tree / "source", self.tree, self.tree / "models")
        self.place = gpu_run.Place(programs=self.tree, tree=self.tree, work=self.tree, part_folders=(self.tree,))

    def test_parts_join_to_the_file_wherever_they_lie(self):
        self.assertEqual(len(self.parts), 4)
        shutil.move(self.parts[1], self.tree / "models")
        self.assertEqual(gpu_checks.joined_model(self.place).read_bytes(), self.content)

    def test_a_missing_part_is_named_and_a_wrong_one_refused(self):
        wrong = bytearray(self.parts[2].read_bytes())
        wrong[5] ^= 1
        self.parts[2].write_bytes(wrong)
        with self.assertRaisesRegex(gpu_run.StepFailed, "SHA-256"):
            gpu_checks.joined_model(self.place)
        self.assertFalse((self.tree / "models" / f"{gpu_checks.MODEL}.gguf").exists())
        self.parts[3].unlink()
        with self.assertRaisesRegex(gpu_run.StepSkipped, "part4"):
            gpu_checks.joined_model(self.place)

    def test_gathered_tokens_are_compared_by_their_bytes(self):
        def answer(*spans):
            return {"sources": [{"kind": "match", "begin_byte": b, "end_byte": e} for b, e in spans] +
                    [{"kind": "edge", "begin_byte": 0, "end_byte": 50}]}
        for here, there, shared in ((((100, 200),), ((100, 200),), 1), (((100, 200),), ((100, 150), (150, 200)), 1),
                                    (((100, 200),), ((150, 250),), 1 / 3), (((100, 200),), (), 0)):
            with self.subTest(here=here, there=there):
                self.assertAlmostEqual(gpu_checks.shared_tokens(answer(*here), answer(*there)), shared)


class Package(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        (self.folder / "bin").mkdir()
        for name in make_gpu_package.PROGRAMS:
            shutil.copy("/bin/echo", self.folder / "bin" / name)

    def make(self, **options):
        return make_gpu_package.make(self.folder / "bin", self.folder / "out", models_dir=self.folder / "none", **options)[0]

    def test_it_holds_all_and_its_programs_run_by_either_c_library(self):
        archive = self.make()
        with tarfile.open(archive) as tar:
            names = set(tar.getnames())
        for name in ("gpu", "package.json", "bin/reform", "programs/bench_gpu", "scripts/gpu.py", "texts/bible.txt",
                     "lib/libc/libc.so.6", "lib/libc/libdl.so.2", "tests/golden/dequant.bin", "tests/golden/tiny_qwen2.gguf",
                     "tests/golden/logits_smollm2-135m.bin", "bench/gpu/attention_peer.py"):
            self.assertIn(name, names)
        self.assertEqual(names & {f"tests/golden/{n}" for n in make_gpu_package.NOT_NEEDED}, set())
        for script in SCRIPTS:
            self.assertIn(f"scripts/{script}", names)
        place = gpu.unpacked(archive, self.folder / "work")
        for env in ({}, {"REFORM_OWN_LIBC": "1"}, {"LD_LIBRARY_PATH": "/a:/b"}, {"REFORM_OWN_LIBC": "1", "LD_LIBRARY_PATH": "/a"}):
            done = subprocess.run([place / "bin/reform", "a word", "another"], env=dict(env, PATH="/usr/bin:/bin"),
                                  capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (0, "a word another\n"), done.stderr)
        done = subprocess.run([place / "gpu", "--list"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("million", done.stdout)

    def test_it_is_never_larger_than_it_may_be(self):
        with self.assertRaisesRegex(make_gpu_package.PackError, "more than 100000"):
            self.make(limit_bytes=100_000)
        self.assertEqual(list((self.folder / "out").iterdir()), [])

    def test_a_program_that_was_not_built_is_named(self):
        (self.folder / "bin/bench_gpu").unlink()
        with self.assertRaisesRegex(make_gpu_package.PackError, "bench_gpu"):
            self.make()

    def test_an_archive_with_a_way_out_of_its_folder_is_refused(self):
        archive = self.folder / "bad.tar.xz"
        for name in ("../outside", "lib/../../outside", "lib/..", str(self.folder / "outside")):
            with tarfile.open(archive, "w:xz") as tar:
                info = tarfile.TarInfo(name)  # as it stands: add() would tidy it
                info.type = tarfile.DIRTYPE if name.endswith("..") else tarfile.REGTYPE
                tar.addfile(info)
            with self.assertRaisesRegex(SystemExit, "has no place"):
                gpu.unpacked(archive, self.folder / "work")
            self.assertFalse((self.folder / "outside").exists())

    def test_half_an_archive_is_refused_and_not_taken_for_unpacked(self):
        archive = self.folder / "half.tar.xz"
        with tarfile.open(archive, "w:xz") as tar:
            tar.add(os.path.realpath(sys.executable), "bin/python")
        whole = archive.read_bytes()
        for part in (b"", b"nothing of the kind", whole[:len(whole) // 2]):
            archive.write_bytes(part)
            for _ in range(2):
                with self.assertRaisesRegex(SystemExit, "no package"):
                    gpu.unpacked(archive, self.folder / "work")


if __name__ == "__main__":
    unittest.main()
