#!/usr/bin/env python3
"""Tests and measures on a machine with an NVIDIA GPU: `./dev gpu`, or a package's `./gpu`.

Runs all parts, or the named ones, one after the other; each ends within its limit, and all within 25 minutes. Results are
merged into one JSON file per chip and day, with a page of tables beside it, so parts may run at different times.
"""
import argparse
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zlib
from pathlib import Path

import gpu_bench
import gpu_checks
import gpu_machine
import gpu_report
from gpu_run import ROOT, Part, Place, run_part, shown

PARTS = {p.name: p for p in (
    Part("tests", "the tests of kernels and runtime, on the GPU", 180, gpu_checks.tests),
    Part("sanitizer", "compute-sanitizer's four tools on the kernels' small cases", 240, gpu_checks.sanitizer),
    Part("model", "a small real model on GPU and CPU: logits, passages, answers", 150, gpu_checks.model),
    Part("kernels", "each kernel beside what the chip can do", 180, gpu_bench.kernels_part),
    Part("peer", "PyTorch's attention and matrix product on the same chip", 60, gpu_bench.peer_part),
    Part("job", "the whole job on 256k tokens", 300, gpu_bench.job_part),
    Part("memory", "the same under a cap, and with a cache as the paper's", 150, gpu_bench.memory_part),
    Part("million", "1M tokens, and a question on them, cold and warm", 240, gpu_bench.million_part),
)}
TOTAL_S = 25 * 60
NOTHING_RAN = 3


def say(text=""):
    print(text, flush=True)


def unpacked(package, work):
    """The package as a folder; an archive is unpacked beside the work, once."""
    if package.is_dir():
        return package
    folder = work / "package"
    stamp = folder / ".from"
    mark = f"{package.name} {package.stat().st_size} {package.stat().st_mtime_ns}"
    if stamp.is_file() and stamp.read_text() == mark:
        return folder
    say(f"unpacking {shown(package)}")
    for old in folder.iterdir() if folder.is_dir() else ():
        if old.name != "models":  # joined there from parts that may have gone
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(package) as archive:
            members = archive.getmembers()
            for member in members:
                inside = not member.name.startswith("/") and ".." not in member.name.split("/")
                if not inside or not (member.isfile() or member.isdir()):
                    raise SystemExit(f"gpu: {package}: {member.name} has no place in a package")
                member.mode &= 0o777
            archive.extractall(folder, members)
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise SystemExit(f"gpu: {package} is no package, or not all of one: {error}") from None
    stamp.write_text(mark)
    return folder


def build_of(tree):
    """The commit that the programs were built from."""
    described = tree / "package.json"
    if described.is_file():
        return json.loads(described.read_text()).get("commit", "")
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True,
                          text=True)
    return done.stdout.strip()


def make_place(arguments):
    work = arguments.work.absolute()
    is_package = (ROOT / "package.json").is_file()
    tree = unpacked(arguments.package.absolute(), work) if arguments.package else ROOT
    programs = tree / "bin" if arguments.package or is_package else ROOT / "build/cuda/bin"
    folders = [arguments.package.absolute().parent] if arguments.package else []
    return Place(programs=programs, tree=tree, work=work, device=arguments.device, nvml=not arguments.no_nvml,
                 scale=arguments.scale, part_folders=tuple(folders + [p.absolute() for p in arguments.model_parts]))


def build(place):
    """Builds the programs where there is no package."""
    if place.tree != ROOT or (ROOT / "package.json").is_file():
        return
    done = subprocess.run([str(ROOT / "dev"), "gpu-build"], cwd=ROOT, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise SystemExit("gpu: the programs cannot be built here; ./dev gpu-package makes them elsewhere, and "
                         "./dev gpu --package FILE takes them from there")


def run(arguments, place, gpu):
    date = time.strftime("%Y-%m-%d", time.gmtime())
    path = arguments.out / f"{gpu_report.file_stem(gpu['name'], date)}.json"
    results = gpu_report.load(path)
    results.update(gpu=gpu, host=gpu_machine.host(), date=date)
    deadline = time.monotonic() + TOTAL_S
    counts = {"passed": 0, "failed": 0, "skipped": 0, "not reached": 0}
    for name in arguments.parts or PARTS:
        record = run_part(place, PARTS[name], say, max(deadline - time.monotonic(), 0))
        record["build"] = build_of(place.tree)
        results["parts"][name] = record
        results["bars"] = gpu_report.bars(results)
        gpu_report.save(path, results)
        path.with_suffix(".md").write_text(gpu_report.page(results))
        for step in record["steps"]:
            counts[step["state"]] += 1
    say()
    for bar in results["bars"]:
        if bar["value"] is not None:
            say(f"{bar['verdict']:8} {bar['what']}: {bar['value']:.3g} {bar['unit']}, bar {bar['bar']:g}")
    say(f"written to {shown(path)} and {shown(path.with_suffix('.md'))}; logs in {shown(place.work / 'logs')}")
    say(", ".join(f"{n} {state}" for state, n in counts.items()))
    if counts["failed"] or counts["not reached"]:
        return 1
    return 0 if counts["passed"] else NOTHING_RAN


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", metavar="PART", nargs="*", help=f"{', '.join(PARTS)}; all of them without one")
    parser.add_argument("--list", action="store_true", help="the parts, and how long each may take")
    parser.add_argument("--package", type=Path, help="take the programs from here: a file that ./dev gpu-package made, or a folder "
                                                     "it was unpacked to")
    parser.add_argument("--model-parts", type=Path, action="append", default=[], metavar="DIR",
                        help="where parts of models lie; the package's own folder is looked at, too")
    parser.add_argument("--device", type=int, default=0, metavar="N", help="which GPU, as CUDA counts (0)")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/gpu", help="where results go")
    parser.add_argument("--work", type=Path, default=ROOT / "build/gpu", help="where stores, texts and logs go")
    parser.add_argument("--scale", type=float, default=1.0, help="of the jobs' lengths; below 1 no bar is judged")
    parser.add_argument("--no-nvml", action="store_true", help="ask nvidia-smi for memory, not NVML")
    parser.add_argument("--prepare", action="store_true", help="write the jobs' texts and heads, and run nothing")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part '{unknown[0]}'; there are: {', '.join(PARTS)}")
    if not 0 < arguments.scale <= 1:
        parser.error("--scale is above 0 and at most 1")
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.list:
        for part in PARTS.values():
            say(f"{part.name:10} {part.limit_s / 60:4.1f} min  {part.about}")
        say(f"{'all':10} {sum(p.limit_s for p in PARTS.values()) / 60:4.1f} min")
        return 0
    if arguments.package is not None and not arguments.package.exists():
        print(f"gpu: {arguments.package} is not there; ./dev gpu-package makes a package", file=sys.stderr)
        return 2
    place = make_place(arguments)
    if arguments.prepare:
        for n in (gpu_bench.TOKENS, gpu_bench.MANY_TOKENS):
            say(shown(gpu_bench.prepare(place, n)[0]))
        return 0
    try:
        gpu = gpu_machine.describe(arguments.device)
    except (gpu_machine.NoGpu, subprocess.TimeoutExpired) as error:
        print(f"gpu: {error}\nnothing was run: ./dev gpu is for a machine with an NVIDIA GPU of compute capability 8.0 or later "
              f"and its driver", file=sys.stderr)
        return NOTHING_RAN
    say(f"{gpu['name']}, driver {gpu['driver_version']}, compute capability {gpu['compute_cap']}")
    build(place)
    os.makedirs(place.work, exist_ok=True)
    return run(arguments, place, gpu)


if __name__ == "__main__":
    sys.exit(main())
