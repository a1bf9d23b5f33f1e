#!/usr/bin/env python3
"""Makes tests/golden/store_vN and context_vN.reform: a store and an archive of the present format, which are kept forever.

    scripts/make_store_golden.py [build/release/bin/reform]

Run it once for each version of the format, before the next version is begun, and never again for an old one. The tests (tests/runtime/
stored_format_test.cc) know the text's words.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden"
MODEL = GOLDEN / "tiny_qwen2.gguf"
TEXT = "".join(f"Stone {n} by the river is {colour}. " for n, colour in
               enumerate(["blue", "grey", "green", "white", "black"] * 3)) + "The keeper of the gate is called Orrin.\n"
LEFT_OUT = ("LOCK", "LOG", "OPTIONS")  # RocksDB makes them anew


def main():
    reform = sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/release/bin/reform"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        env = {**os.environ, "XDG_DATA_HOME": folder, "XDG_CACHE_HOME": folder + "/cache"}

        def run(*arguments):
            done = subprocess.run([reform, *map(str, arguments)], env=env, cwd=home, capture_output=True, text=True,
                                  check=True)
            return done.stdout

        (home / "heads.json").write_text('{"heads": ["q1.1", "k1.0", "v2.1"]}')
        (home / "stones.txt").write_text(TEXT)
        shutil.copy(MODEL, home)  # its path is in the store
        run("ingest", "--model", MODEL.name, "--isa", "portable", "--heads", "heads.json", "--chunk-tokens", 64,
            "--cache-tokens", 64, "stones", "stones.txt")
        version = json.loads(run("--version", "--json"))["store_format"]
        store = GOLDEN / f"store_v{version}"
        if store.exists():
            raise SystemExit(f"{store} is there already: a version's files are made once")
        run("export", "stones", GOLDEN / f"context_v{version}.reform")
        shutil.copytree(home / "reform", store, ignore=lambda _, names: [
            name for name in names if name.startswith(LEFT_OUT) or name in ("catalogue.json", "locks", "trash")])
    print(f"{store}: {sum(f.stat().st_size for f in store.rglob('*') if f.is_file())} bytes")


if __name__ == "__main__":
    main()
