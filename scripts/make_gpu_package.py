#!/usr/bin/env python3
"""Packs what `./dev gpu --package` needs on a machine that can build or fetch nothing: `./dev gpu-package`.

Makes one archive of at most 60 MiB: the programs, every library they need including the C library and its loader (used
if the machine's own is older), the tests' data, the scripts, and a text. Beside it, it puts a small real model in parts of at
most 60 MiB each. Using them needs no network, root, or compiler. Standard library only.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import fetch_model
import gpu_checks
import haystack

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("reform", "test_kernels", "test_runtime", "bench_gpu")
LIMIT_BYTES = 60 << 20
PART_BYTES = 48 << 20
TEXT_BYTES = 1 << 20
# Of the C library: these go together with its loader, apart from the others.
LIBC = re.compile(r"^(ld-linux.*|libc|libm|libdl|libpthread|librt|libresolv|libutil)\.so\.\d+$")
TREE = ("scripts/gpu.py", "scripts/gpu_bench.py", "scripts/gpu_checks.py", "scripts/gpu_machine.py", "scripts/gpu_report.py",
        "scripts/gpu_run.py", "scripts/process_group.py", "scripts/fetch_model.py", "scripts/haystack.py",
        "bench/gpu/attention_peer.py", "LICENSE", "docs/GPU.md")
NOT_NEEDED = ("logits_gemma3-270m.bin", "logits_qwen2.5-coder-0.5b.bin", "logits_qwen2.5-coder-1.5b.bin")

# Starts a program with the machine's C library where that is new enough, else with the package's own. LD_LIBRARY_PATH stays
# in use behind ours: drivers and cuBLAS may be found by it.
WRAPPER = """#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
name=$(basename "$0")
theirs=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/.* //')
newest=$(printf '%s\\n%s\\n' "{libc}" "${{theirs:-0}}" | sort -V 2>/dev/null | tail -n 1)
if [ "$newest" = "${{theirs:-0}}" ] && [ -z "$REFORM_OWN_LIBC" ]; then
  LD_LIBRARY_PATH="$here/lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" exec "$here/programs/$name" "$@"
fi
exec "$here/lib/libc/{loader}" --library-path "$here/lib/libc:$here/lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" \\
  "$here/programs/$name" "$@"
"""
GPU = """#!/bin/sh
cd "$(dirname "$0")" && exec python3 scripts/gpu.py "$@"
"""


class PackError(Exception):
    """Why there is no package; the text is for the user."""


def output_of(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise PackError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def libraries_of(program):
    """{name: path} of the libraries that the loader finds for the program, and of the loader itself."""
    found = {}
    for line in output_of("ldd", str(program)).splitlines():
        match = re.match(r"\s*(\S+)(?: => (\S+))? \(0x[0-9a-f]+\)", line)
        if "not found" in line:
            raise PackError(f"{program.name}: {line.strip()}")
        if match is None or match[1].startswith("linux-vdso"):
            continue
        found[os.path.basename(match[1])] = Path(match[2] or match[1])
    return found


def newest_libc_symbol(files):
    """The C library version that the files need, such as "2.36"."""
    newest = (0, 0)
    for file in files:
        for match in re.finditer(r"GLIBC_(\d+)\.(\d+)", output_of("objdump", "-T", str(file))):
            newest = max(newest, (int(match[1]), int(match[2])))
    return f"{newest[0]}.{newest[1]}"


def copy_programs(bin_dir, out):
    """Programs without their symbols, their libraries, and the wrappers that start them."""
    libraries = {}
    for name in PROGRAMS:
        program = bin_dir / name
        if not program.is_file():
            raise PackError(f"{program} is not there; ./dev gpu-package builds it")
        libraries.update(libraries_of(program))
        (out / "programs").mkdir(parents=True, exist_ok=True)
        subprocess.run(["strip", "-o", str(out / "programs" / name), str(program)], check=True)
    loader = next(name for name in libraries if name.startswith("ld-linux"))
    # What libcuda.so.1 wants of the C library beyond what ours do: empty since 2.34, but asked for by name.
    for extra in ("libdl.so.2", "libpthread.so.0", "librt.so.1", "libm.so.6"):
        if extra not in libraries:
            libraries[extra] = libraries["libc.so.6"].with_name(extra)
    for name, path in libraries.items():
        folder = out / "lib/libc" if LIBC.match(name) else out / "lib"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.resolve(), folder / name)
        os.chmod(folder / name, 0o755)
    wanted = newest_libc_symbol([*(out / "programs").iterdir(), *(p for p in (out / "lib").iterdir() if p.is_file())])
    (out / "bin").mkdir()
    for name in PROGRAMS:
        write_program(out / "bin" / name, WRAPPER.format(libc=wanted, loader=loader))
    return {"libc": wanted, "libraries": sorted(libraries)}


def write_program(path, text):
    path.write_text(text)
    os.chmod(path, 0o755)


def copy_tree(out):
    for name in TREE:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, out / name)
    shutil.copytree(ROOT / "tests/golden", out / "tests/golden", ignore=shutil.ignore_patterns(*NOT_NEEDED))
    (out / "texts").mkdir()
    text = haystack.bible("genesis1:1-revelation22:21").encode("ascii", "replace")
    (out / "texts/bible.txt").write_bytes(text[:TEXT_BYTES + 4096])
    write_program(out / "gpu", GPU)


def split_model(name, models_dir, out_dir, listed):
    """The model's parts beside the package, and their list in it; nothing where the model is not there."""
    path = models_dir / f"{name}.gguf"
    if not path.is_file():
        return []
    if fetch_model.sha256_of(path) != fetch_model.MODELS[name].sha256:
        raise PackError(f"{path} is not the expected file; ./dev model {name} fetches it again")
    parts = []
    with open(path, "rb") as file:
        while block := file.read(PART_BYTES):
            part = out_dir / f"{name}.gguf.part{len(parts) + 1}"
            part.write_bytes(block)
            parts.append(part)
    listed.mkdir()
    (listed / f"{name}.parts.json").write_text(json.dumps({"parts": [p.name for p in parts]}) + "\n")
    return parts


def commit():
    return output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10").strip()


def pack(folder, archive):
    """Names in order, no owner and no date: the same files give the same archive."""
    def plain(info):
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = 0
        return info
    partial = archive.with_suffix(".partial")
    with tarfile.open(partial, "w:xz", preset=6) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False, filter=plain)
    os.replace(partial, archive)


def make(bin_dir, out_dir, models_dir=ROOT / "models", limit_bytes=LIMIT_BYTES):
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir) as temporary:
        folder = Path(temporary)
        about = copy_programs(bin_dir, folder)
        copy_tree(folder)
        parts = split_model(gpu_checks.MODEL, models_dir, out_dir, folder / "models")
        about.update(commit=commit(), programs=list(PROGRAMS))
        (folder / "package.json").write_text(json.dumps(about, indent=1) + "\n")
        archive = out_dir / "reform-gpu.tar.xz"
        pack(folder, archive)
    if archive.stat().st_size > limit_bytes:
        size = archive.stat().st_size
        archive.unlink()
        raise PackError(f"the package has {size} bytes, more than {limit_bytes}: fewer REFORM_CUDA_CHIPS make it smaller")
    return archive, parts


def main():
    parser = argparse.ArgumentParser(prog="./dev gpu-package", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=ROOT / "build/cuda/bin", help="where the programs are")
    parser.add_argument("--out", type=Path, default=ROOT / "build/gpu-package", help="where the package goes")
    arguments = parser.parse_args()
    try:
        archive, parts = make(arguments.bin, arguments.out)
    except (PackError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"./dev gpu-package: {error}", file=sys.stderr)
        return 1
    for path in (archive, *parts):
        print(f"{path.stat().st_size / 2**20:6.1f} MiB  {path}")
    if not parts:
        print(f"without a model: ./dev model {gpu_checks.MODEL}, then again")
    print(f"on the machine with the GPU: ./dev gpu --package {archive.name}, or unpack it and run its ./gpu")
    return 0


if __name__ == "__main__":
    sys.exit(main())
