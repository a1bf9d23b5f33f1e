#!/usr/bin/env python3
"""reform against stock llama.cpp on the same cores, model file, prompt tokens and decoded tokens; runs take turns.

    bench/compare/llama_cpp.py --model models/qwen2.5-coder-0.5b.gguf

The peer is llama-cpp-python from PyPI's source package, built natively in a virtual environment under build/ (once; some
minutes), or the one of --python. Its times are llama.cpp's own (llama_perf_context), with flash attention and after a warm-up;
ours are those of `reform generate --json`. Both have the model in the page cache and decode greedily. Writes a table and
all single runs to bench/results/. Nothing else should run on the machine: what kept cores busy at the start is written down.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEER = "llama-cpp-python==0.3.36"
VENV = ROOT / "build/compare-venv"
sys.path.insert(0, str(ROOT / "scripts"))
import haystack  # noqa: E402
import machine  # noqa: E402
import reform_cli  # noqa: E402


def peer_main():
    """Runs in the peer's Python: reads one job from standard input, prints one object."""
    here = Path(__file__).resolve().parent  # this file has the package's name and would be imported in its place
    sys.path[:] = [p for p in sys.path if Path(p).resolve() != here]
    import llama_cpp
    job = json.load(sys.stdin)
    if job["task"] == "prompts":  # prefixes of a text that are exactly so many tokens, also when encoded anew
        model = llama_cpp.Llama(job["model"], vocab_only=True, verbose=False)
        text, prompts = job["text"], {}
        for n in job["lengths"]:
            def count(cut):
                return len(model.tokenize(text[:cut].encode(), add_bos=True, special=True))
            low, high = 0, len(text)
            while low < high:  # the longest prefix of at most n tokens; counts grow with the prefix but for a token or so
                middle = (low + high + 1) // 2
                low, high = (middle, high) if count(middle) <= n else (low, middle - 1)
            fitting = [c for c in range(low, max(low - 64, 0), -1) if count(c) == n]
            if not fitting:
                raise SystemExit(f"no prefix of the text has {n} tokens")
            prompts[str(n)] = text[:fitting[0]]
        print(json.dumps(prompts))
        return 0
    model = llama_cpp.Llama(job["model"], n_ctx=job["n_tokens"] + job["n_predict"] + 64, n_batch=2048, n_ubatch=512,
                            n_threads=job["threads"], n_threads_batch=job["threads"], flash_attn=True, verbose=False)
    tokens = model.tokenize(job["prompt"].encode(), add_bos=True, special=True)
    model.eval(tokens[:32])
    model.sample(temp=0)
    model.eval(tokens[:1])
    llama_cpp.llama_synchronize(model.ctx)  # else the warm-up's last call is counted with the first one that is timed
    model.reset()
    model._ctx.kv_cache_clear()
    llama_cpp.llama_perf_context_reset(model.ctx)
    model.eval(tokens)
    for _ in range(job["n_predict"]):
        model.eval([model.sample(temp=0)])
    perf = llama_cpp.llama_perf_context(model.ctx)
    print(json.dumps({"prompt_n": perf.n_p_eval, "prompt_ms": perf.t_p_eval_ms, "predicted_n": perf.n_eval,
                      "predicted_ms": perf.t_eval_ms, "version": llama_cpp.__version__}))
    return 0


def peer(python, job, cpus=None):
    def pin():
        if cpus:
            os.sched_setaffinity(0, cpus)
    done = subprocess.run([str(python), str(Path(__file__).resolve()), "--peer"], input=json.dumps(job), text=True,
                          stdout=subprocess.PIPE, preexec_fn=pin)
    if done.returncode != 0:
        raise RuntimeError(f"the peer failed (exit status {done.returncode})")
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(binary, model, prompt_file, n_predict, threads, cpus):
    command = ["taskset", "-c", ",".join(map(str, cpus)), str(binary), "generate", "--model", str(model), "--file",
               str(prompt_file), "-n", str(n_predict), "--temp", "0", "--threads", str(threads), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)["timings"]


def peer_python():
    """The Python of a virtual environment that has the peer; makes the environment if it does not exist."""
    python = VENV / "bin/python"
    if not python.is_file() or subprocess.run([str(python), "-c", "import llama_cpp"], stderr=subprocess.DEVNULL).returncode:
        print(f"building {PEER} natively in {VENV} (some minutes)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PEER, "--no-binary", "llama-cpp-python"], check=True,
                       env={**os.environ, "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count()), "CMAKE_ARGS": "-DGGML_NATIVE=ON"})
    return python


def rates(timings):
    return (timings["prompt_n"] * 1000 / timings["prompt_ms"],
            timings["predicted_n"] * 1000 / timings["predicted_ms"] if timings["predicted_ms"] else float("nan"))


def busy_cores(seconds=2.0):
    """How many cores other work keeps busy now. The load average would still show work that has ended."""
    def idle_and_all():
        ticks = [int(t) for t in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)
    idle, total = idle_and_all()
    time.sleep(seconds)
    idle_now, total_now = idle_and_all()
    return os.cpu_count() * (1 - (idle_now - idle) / max(total_now - total, 1))


def measure(arguments, python, prompts):
    """One row per (prompt tokens, threads): the runs of both, taken in turn."""
    allowed, rows = sorted(os.sched_getaffinity(0)), []
    for threads in arguments.threads:
        cpus = allowed[:threads]
        for n_tokens in arguments.prompt_tokens:
            prompt_file = VENV.parent / f"compare-{n_tokens}.txt"
            prompt_file.parent.mkdir(parents=True, exist_ok=True)
            prompt_file.write_text(prompts[str(n_tokens)])
            job = {"task": "run", "model": str(arguments.model), "prompt": prompts[str(n_tokens)], "n_tokens": n_tokens,
                   "n_predict": arguments.predict, "threads": threads}
            row = {"threads": threads, "prompt_tokens": n_tokens, "reform": [], "llama.cpp": []}
            for _ in range(arguments.runs):
                row["reform"].append(ours(arguments.binary, arguments.model, prompt_file, arguments.predict, threads, cpus))
                row["llama.cpp"].append(peer(python, job, cpus))
            counts = {t["prompt_n"] for engine in ("reform", "llama.cpp") for t in row[engine]}
            if counts != {n_tokens}:
                raise RuntimeError(f"the engines did not read the same {n_tokens} prompt tokens: {sorted(counts)}")
            for engine in ("reform", "llama.cpp"):
                both = [rates(t) for t in row[engine]]
                row[f"{engine} median"] = [statistics.median(r[i] for r in both) for i in (0, 1)]
                row[f"{engine} spread"] = [(max(r[i] for r in both) - min(r[i] for r in both)) for i in (0, 1)]
            rows.append(row)
            print(table_line(row), flush=True)
    return rows


HEADER = ("| threads | prompt | prefill: reform | llama.cpp | ratio | decode: reform | llama.cpp | ratio |\n"
          "|--:|--:|--:|--:|--:|--:|--:|--:|")


def table_line(row):
    cells = [str(row["threads"]), f"{row['prompt_tokens']:,}"]
    for i in (0, 1):
        a, b = row["reform median"][i], row["llama.cpp median"][i]
        cells += [f"{a:.1f} ± {row['reform spread'][i] / 2:.1f}", f"{b:.1f} ± {row['llama.cpp spread'][i] / 2:.1f}",
                  f"**{a / b:.2f}**"]
    return "| " + " | ".join(cells) + " |"


def write_results(arguments, rows, load):
    facts = {"model": arguments.model.name, "cpu": machine.cpu_name(), "busy_cores_at_start": load, "runs": arguments.runs,
             "predict": arguments.predict, "commit": machine.commit(), "date": time.strftime("%Y-%m-%d"),
             "peer": f"llama-cpp-python {rows[0]['llama.cpp'][0]['version']}"}
    arguments.out.mkdir(parents=True, exist_ok=True)
    stem = arguments.out / f"llama_cpp_{arguments.model.stem}"
    stem.with_name(stem.name + ".json").write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    busy = "" if load < 0.3 else f" **The machine was busy ({load:.1f} cores at the start): the figures are not to be relied on.**"
    repeat = (f"bench/compare/llama_cpp.py --model models/{arguments.model.name} --runs {arguments.runs} "
              f"--predict {arguments.predict} --prompt-tokens {' '.join(map(str, arguments.prompt_tokens))} "
              f"--threads {' '.join(map(str, arguments.threads))}")
    text = (f"# reform and llama.cpp, {facts['model']}\n\nTokens/s, median of {arguments.runs} runs in turn, ± half the "
            f"spread; {arguments.predict} tokens decoded after the prompt. {facts['cpu']}; reform at commit {facts['commit']}; "
            f"{facts['peer']}, built natively, flash attention on; {facts['date']}.{busy}\n\n{HEADER}\n"
            + "\n".join(table_line(r) for r in rows) + f"\n\nRepeat: `{repeat}`\n")
    stem.with_name(stem.name + ".md").write_text(text)
    print(f"\n{text}\nwritten to {stem}.md and .json")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/qwen2.5-coder-0.5b.gguf")
    parser.add_argument("--binary", type=Path, default=reform_cli.BINARY)
    parser.add_argument("--python", type=Path, help="a Python that has llama-cpp-python, in place of the one made here")
    parser.add_argument("--prompt-tokens", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--predict", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    arguments = parser.parse_args()
    load = busy_cores()
    python = arguments.python or peer_python()
    text = haystack.bible("judges1:1-judges21:25")
    prompts = peer(python, {"task": "prompts", "model": str(arguments.model), "text": text,
                            "lengths": arguments.prompt_tokens})
    arguments.model.read_bytes()  # into the page cache
    print(HEADER)
    write_results(arguments, measure(arguments, python, prompts), load)
    return 0


if __name__ == "__main__":
    sys.exit(peer_main() if sys.argv[1:] == ["--peer"] else main())
