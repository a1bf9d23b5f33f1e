#!/usr/bin/env python3
"""Reads the store cold and compares that with what the disk can do (fio), in one run on one file system.

    bench/storage.py                       # 1.5 GB of embeddings, fifteen rounds, some minutes
    bench/storage.py --model models/smollm2-135m.gguf    # and how long an ingest waits for its store

Needs fio. Each round runs fio's sequential read (O_DIRECT, io_uring) and each case of build/release/bin/bench_store once,
so that what else the machine does meets all alike; the table has the medians. Written to bench/results/storage.md.
"""
import argparse
import json
import os
import platform
import shutil
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

BENCH = ROOT / "build/release/bin/bench_store"
FIO = ("--rw=read", "--bs=1M", "--iodepth=8", "--direct=1", "--ioengine=io_uring")
CASES = (("scan", "uring"), ("scan", "plain"), ("score", "uring"), ("scan_score", "uring"), ("scan_score", "plain"),
         ("gather", "uring"), ("gather", "plain"))


def output_of(command):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {done.returncode}")
    return done.stdout


def fio(folder, n_bytes, *more):
    """MB/s of a sequential read of a file in the folder, which the first call makes."""
    text = output_of(("fio", "--name=store", f"--filename={folder}/fio", f"--size={n_bytes}", "--invalidate=1",
                      "--output-format=json", *FIO, *more))
    return json.loads(text[text.index("{"):])["jobs"][0]["read"]["bw_bytes"] / 1e6


def measure(arguments, folder):
    """Lists of figures: MB/s and ms by (case, io); fio's under ("fio", ...)."""
    store = folder / "store"
    output_of((BENCH, "--store", store, "--bytes", arguments.bytes, "--make"))
    fio(folder, arguments.bytes)
    figures = {}
    for n in range(arguments.rounds):
        figures.setdefault(("fio", "uring"), []).append({"mb_per_s": fio(folder, arguments.bytes)})
        figures.setdefault(("fio, registered buffers", "uring"), []).append(
            {"mb_per_s": fio(folder, arguments.bytes, "--fixedbufs=1")})
        for case, io in CASES:
            line = json.loads(output_of((BENCH, "--store", store, "--case", case, "--io", io, "--runs", 1)))
            figures.setdefault((case, io), []).append(line)
        print(f"round {n + 1} of {arguments.rounds}: " + ", ".join(
            f"{case}/{io} {figures[case, io][-1].get('ms', figures[case, io][-1]['mb_per_s']):.1f}"
            for case, io in figures), flush=True)
    return figures


def median(figures, key, unit):
    return statistics.median(f[unit] for f in figures[key])


def spread(figures, key, unit):
    values = sorted(f[unit] for f in figures[key])
    return f"{values[len(values) // 2]:,.1f} ({values[0]:,.1f}–{values[-1]:,.1f})"


def waiting_share(arguments, folder):
    """An ingest's (store_ms, total_ms, tokens)."""
    path = folder / "text.txt"
    path.write_bytes(haystack.bible("genesis1:1-revelation22:21").encode()[:arguments.ingest_tokens * 4])
    result = reform_cli.run("ingest", "--store", folder / "ingested", "--model", arguments.model, "text", path,
                            show_progress=True)
    timings = result["timings"]
    return timings["store_ms"], timings["total_ms"], result["context"]["n_tokens"]


def bars(figures, ingest):
    fio_speed, scan = median(figures, ("fio", "uring"), "mb_per_s"), median(figures, ("scan", "uring"), "mb_per_s")
    scan_ms, score_ms = (median(figures, (case, "uring"), "ms") for case in ("scan", "score"))
    both_ms, gather_ms = (median(figures, (case, "uring"), "ms") for case in ("scan_score", "gather"))
    rows = [("cold index scan, share of fio's sequential read", scan / fio_speed, "≥ 90 %", scan >= 0.9 * fio_speed),
            ("scan with scoring, over the slower of the two alone", both_ms / max(scan_ms, score_ms) - 1, "≤ 10 %",
             both_ms <= 1.1 * max(scan_ms, score_ms))]
    lines = [f"| {what} | {100 * value:.1f} % | {bar} | {'yes' if met else 'no'} |" for what, value, bar, met in rows]
    lines.append(f"| token spans of an 8k-token gather, cold | {gather_ms:.2f} ms | ≤ 10 ms | "
                 f"{'yes' if gather_ms <= 10 else 'no'} |")
    if ingest:
        store_ms, total_ms, n_tokens = ingest
        lines.append(f"| share of an ingest ({n_tokens:,} tokens) spent in the store | {100 * store_ms / total_ms:.2f} % | "
                     f"< 2 % | {'yes' if store_ms < 0.02 * total_ms else 'no'} |")
    return lines


def report(arguments, figures, ingest):
    lines = ["# The store's disk", "",
             f"{arguments.bytes / 1e9:.2f} GB of embeddings (4 heads of 64, chunks of 4,096 tokens), read cold; {machine.cpu_name()}, "
             f"{os.cpu_count()} threads, Linux {platform.release()}; medians of {arguments.rounds} rounds, in each of which "
             f"everything ran once; reform at commit {machine.commit()}; {time.strftime('%Y-%m-%d')}.", "",
             "| | here | bar | met |", "|---|--:|--:|---|", *bars(figures, ingest), "",
             "| pass | MB/s (least–most) | ms (least–most) |", "|---|--:|--:|"]
    names = {"uring": "io_uring, O_DIRECT", "plain": "RocksDB's default file system"}
    for case, io in figures:
        has_ms = "ms" in figures[case, io][0]
        kind = {"score": "from memory", "fio": " ".join(FIO)}.get(case, "--fixedbufs=1" if "fio" in case else names[io])
        ms = spread(figures, (case, io), "ms") if has_ms else ""
        speed = "" if case == "gather" else spread(figures, (case, io), "mb_per_s")
        lines.append(f"| {case}: {kind} | {speed} | {ms} |")
    lines += ["", "Repeat: `bench/storage.py" + (f" --model {arguments.model}`" if arguments.model else "`"), ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=3 << 29)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--model", type=Path, help="ingests with it, too")
    parser.add_argument("--ingest-tokens", type=int, default=40_000)
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="on the file system to be measured")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/storage.md")
    arguments = parser.parse_args()
    if shutil.which("fio") is None:
        raise SystemExit("fio is missing: apt-get install fio")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        figures = measure(arguments, Path(folder))
        ingest = waiting_share(arguments, Path(folder)) if arguments.model else None
    text = report(arguments, figures, ingest)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
