#!/usr/bin/env python3
"""Peak memory of reading texts of several lengths: it must not grow with the text.

    bench/memory.py --model models/smollm2-135m.gguf

Each length is ingested by a fresh process into a fresh store. `peak` is the kernel's own figure for the process (ru_maxrss:
the model file's pages count while they are mapped), `without weights` is the sum of what reform accounts for but
the model's file.
A question is asked of each context, too. Writes a table to bench/results/.
"""
import argparse
import json
import os
import platform
import shutil
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

BYTES_PER_TOKEN = 3.4  # too few tokens would be measured if the text ran out; the rows say how many there were


def measured(*arguments):
    """(the command's object, its peak resident bytes)."""
    command = [str(reform_cli.BINARY), *map(str, arguments), "--json"]
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
        out.seek(0)
        return json.load(out), usage.ru_maxrss * 1024


def mib(n_bytes):
    return f"{n_bytes / 2**20:,.0f}"


def accounted(result):
    return sum(v for k, v in result["memory_bytes"].items() if k not in ("peak_host", "peak_gpu", "gpu_arena", "gpu_outside", "weights"))


def row(arguments, text, n_tokens, folder):
    path = folder / f"{n_tokens}.txt"
    path.write_bytes(text[:int(n_tokens * arguments.bytes_per_token)])
    store = folder / "store"
    ingest, ingest_peak = measured("ingest", "--store", store, "--model", arguments.model, "text", path)
    ask, ask_peak = measured("ask", "--store", store, "text", arguments.question, "-n", 16, "--temp", 0)
    shutil.rmtree(store)
    path.unlink()
    context = ingest["context"]
    return (f"| {context['n_tokens']:,} | {mib(ingest_peak)} | {mib(accounted(ingest))} | {mib(ask_peak)} | "
            f"{mib(accounted(ask))} | {mib(context['disk_bytes'])} |")


HEADER = ("| tokens | ingest: peak MiB | without weights | ask: peak MiB | without weights | on disk |\n"
          "|--:|--:|--:|--:|--:|--:|")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2-135m.gguf")
    parser.add_argument("--tokens", type=int, nargs="+", default=[32_000, 128_000, 512_000])
    parser.add_argument("--bytes-per-token", type=float, default=BYTES_PER_TOKEN)
    parser.add_argument("--question", default="Who slew Goliath?")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    arguments = parser.parse_args()
    text = haystack.bible("genesis1:1-revelation22:21").encode()
    print(HEADER, flush=True)
    rows = []
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        for n_tokens in arguments.tokens:
            rows.append(row(arguments, text, n_tokens, Path(folder)))
            print(rows[-1], flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"memory_{arguments.model.stem}.md"
    path.write_text(f"# Memory by length of text, {arguments.model.name}\n\nThe peak of each process; {platform.machine()}, "
                    f"{os.cpu_count()} threads; reform at commit {machine.commit()}; {time.strftime('%Y-%m-%d')}.\n\n"
                    f"{HEADER}\n" + "\n".join(rows) + f"\n\nRepeat: `bench/memory.py --model models/{arguments.model.name} "
                    f"--tokens {' '.join(map(str, arguments.tokens))}`\n")
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
