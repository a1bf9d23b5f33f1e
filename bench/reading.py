#!/usr/bin/env python3
"""Reading speed by depth and policy: how much sooner a shallower exit has read the same text. Runs take turns.

    bench/reading.py --model models/qwen2.5-coder-0.5b.gguf

`paper` is the exit of the paper's own heads, with which reform read before there were depths, and what the other depths are compared
with: same binary, policy, threads, text. Each run is a fresh process into a fresh store, on as many cores as it has threads.
A table and all runs go to bench/results/. Nothing else should run on the machine.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import haystack  # noqa: E402
import machine  # noqa: E402
import reform_cli  # noqa: E402

BYTES_PER_TOKEN = 4
BASE = "paper"
HEADER = ("| policy | threads | depth | heads | layers read | tokens/s | least – most | to paper | bytes per token |\n"
          "|---|--:|---|--:|--:|--:|--:|--:|--:|")


def read(arguments, text, policy, threads, depth, folder):
    command = ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads])), arguments.binary, "ingest", "text", text,
               "--model", arguments.model, "--store", folder, "--policy", policy, "--depth", depth, "--threads", threads, "--json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        raise reform_cli.CommandFailed(f"{' '.join(map(str, command))}: exit status {done.returncode}: {done.stderr.strip()}")
    said = json.loads(done.stdout)
    context = said["context"]
    return {"policy": policy, "threads": threads, "depth": depth, "heads": context["settings"]["heads"], "tokens": context["n_tokens"],
            "bytes_per_token": (context["disk_bytes"] - context["checkpoint_bytes"]) / context["n_tokens"],
            "tokens_per_s": said["timings"]["prompt_per_second"]}


def layers_read(heads):
    """A head's states come before its layer's attention, so the topmost head's layer is read only up to its projections."""
    return max(int(head[1:].split(".")[0]) for head in heads)


def rows(runs):
    def of(policy, threads, depth):
        return [r for r in runs if (r["policy"], r["threads"], r["depth"]) == (policy, threads, depth)]
    for policy, threads, depth in dict.fromkeys((r["policy"], r["threads"], r["depth"]) for r in runs):
        mine, base = of(policy, threads, depth), of(policy, threads, BASE)
        speeds = [r["tokens_per_s"] for r in mine]
        ratio = f"{statistics.median(a['tokens_per_s'] / b['tokens_per_s'] for a, b in zip(mine, base)):.2f}" if base else "–"
        heads = mine[0]["heads"]
        yield (f"| {policy} | {threads} | {depth} | {len(heads)} | {layers_read(heads)} | {statistics.median(speeds):,.0f} | "
               f"{min(speeds):,.0f} – {max(speeds):,.0f} | {ratio} | {mine[0]['bytes_per_token']:.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/qwen2.5-coder-0.5b.gguf")
    parser.add_argument("--binary", type=Path, default=reform_cli.BINARY)
    parser.add_argument("--tokens", type=int, default=16_384, help="of the text, about")
    parser.add_argument("--depths", nargs="+", default=["fast", "balanced", "deep", BASE])
    parser.add_argument("--policies", nargs="+", default=["h2o", "recent"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    arguments = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        text = Path(folder) / "text.txt"
        text.write_bytes(haystack.bible("genesis1:1-revelation22:21").encode()[:arguments.tokens * BYTES_PER_TOKEN])
        cases = [(p, t, d) for p in arguments.policies for t in arguments.threads for d in arguments.depths]
        for turn in range(arguments.runs):
            for i, case in enumerate(cases):
                runs.append(read(arguments, text, *case, Path(folder) / f"store-{turn}-{i}"))
                print(f"{turn + 1}/{arguments.runs} {' '.join(map(str, case))}: {runs[-1]['tokens_per_s']:,.0f} tokens/s", flush=True)
    table = "\n".join([HEADER, *rows(runs)])
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"reading_{arguments.model.stem}.md"
    path.write_text(f"# Reading speed by depth and policy, {arguments.model.name}\n\nMedians of {arguments.runs} runs that took turns, "
                    f"{runs[0]['tokens']:,} tokens; `to paper` is the median of the runs' ratios. {os.cpu_count()} cores, "
                    f"{machine.cpu_name()}; reform at commit {machine.commit()}; {time.strftime('%Y-%m-%d')}.\n\n{table}\n\n"
                    f"Repeat: `bench/reading.py --model models/{arguments.model.name} --tokens {arguments.tokens} "
                    f"--runs {arguments.runs} --depths {' '.join(arguments.depths)}`\n")
    path.with_suffix(".json").write_text(json.dumps(runs, indent=1) + "\n")
    print(f"{table}\nwritten to {path}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except reform_cli.CommandFailed as error:
        sys.exit(f"reading: {error}")
