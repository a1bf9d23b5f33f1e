#!/usr/bin/env python3
"""What nobody meant to send, against a running server: requests that schemathesis (PyPI) makes from the server's own
description, /openapi.json, and raw bytes. The server must not crash, hang, answer 500, or answer other than it is described.

Runs over a model that answers nonsense in no time. Exits 1 if anything is wrong; the requests that repeat it are printed.
"""
import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import reform_cli

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "schemathesis==4.32.5"
MODEL = ROOT / "tests/golden/tiny_llama3.gguf"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
TALE = "The lighthouse of Velm burns whale oil. Its keeper is called Ottilie Brandt.\n" * 8
ANSWER_S = 20  # the longest that a raw request may take


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=reform_cli.BINARY)
    parser.add_argument("--work-dir", type=Path, default=ROOT / "build/clients", help="gets the package")
    parser.add_argument("--examples", type=int, default=20, help="for each operation")
    parser.add_argument("--raw", type=int, default=400, help="requests of raw bytes")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


class Server:
    """Over a store with one context, `tale`; a small model answers."""

    def __init__(self, binary, folder):
        (folder / "heads.json").write_text('{"heads": ["v0.0", "q1.1"]}')
        (folder / "tale.txt").write_text(TALE)
        environment = {**os.environ, "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
        common = ["--model", MODEL, "--store", folder / "store", "--heads", folder / "heads.json"]
        subprocess.run([binary, "ingest", "tale", folder / "tale.txt", *common, "-q"], check=True, env=environment, stdout=subprocess.DEVNULL)
        self.process = subprocess.Popen([binary, "serve", *common, "--chat-template", "chatml", "--port", "0", "--json"], env=environment,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {self.process.wait()}")
        self.url, self.port = (json.loads(line)[k] for k in ("url", "port"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def get(url):
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)


def description_with_names(url):
    """As served, but fields that name a model or a context take those that exist, so that requests get through."""
    text = get(url + "/openapi.json")
    schemas = text["components"]["schemas"]
    models = [m["id"] for m in get(url + "/v1/models")["data"]]
    for name, schema in schemas.items():
        if "model" in schema.get("properties", {}) and name.endswith("Request"):
            schema["properties"]["model"] = {"enum": models}
        if "contexts" in schema.get("properties", {}):
            schema["properties"]["contexts"] = {"enum": ["tale", ["tale"]]}
        for field in ("max_tokens", "max_completion_tokens"):  # so that no case takes long
            if field in schema.get("properties", {}) and name.endswith("Request"):
                schema["properties"][field]["maximum"] = 16
    return text


def run_schemathesis(server, arguments, folder):
    if not (arguments.work_dir / "schemathesis").is_dir():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--target",
                        arguments.work_dir, PACKAGE], check=True)
    file = folder / "openapi.json"
    file.write_text(json.dumps(description_with_names(server.url)))
    command = [sys.executable, "-m", "schemathesis.cli", "run", file, "--url", server.url, "--max-examples", str(arguments.examples), "--seed",
               str(arguments.seed), "--checks", CHECKS, "--no-color"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(arguments.work_dir)}, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout[-8000:], done.stderr[-2000:], sep="\n")
        raise AssertionError(f"schemathesis found something; --seed {arguments.seed} repeats it")
    return next(line.strip() for line in done.stdout.splitlines() if line.strip().endswith("passed") and "generated" in line)


def raw_request(rng):
    """A request of which something is wrong, mostly."""
    bodies = [b"", b"{", b"{}", b"[" * 5000, b'{"model": "' + b"x" * 3000 + b'"}', bytes(rng.randrange(256) for _ in range(rng.randrange(200)))]
    body = rng.choice(bodies)
    method = rng.choice([b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"FOO", b"", b"get", b"P\x00ST"])
    path = rng.choice([b"/", b"/v1/models", b"/v1/chat/completions", b"/search", b"/contexts/tale", b"/contexts/%00", b"/contexts/..%2f..%2fetc",
                       b"//", b"/" + b"a" * rng.randrange(3000), b"*", b"http://other/x", b"\xff\xfe", b"/ask?a=" + b"b" * 500])
    headers = [b"Host: 127.0.0.1", b"Content-Type: application/json", b"Content-Length: " + str(rng.choice([len(body), 0, 3, -1, 10**12])).encode()]
    odd = [b"Host: evil.example", b"Origin: http://evil.example", b"Transfer-Encoding: chunked", b"Content-Length: 5", b"X: " + b"y" * 9000, b": x",
           b"no colon", b"Range: bytes=0-1", b"Content-Encoding: gzip", b"Expect: 100-continue", b"\x00: \x00", b"Connection: upgrade"]
    headers += [rng.choice(odd) for _ in range(rng.randrange(3))]
    rng.shuffle(headers)
    end = rng.choice([b"\r\n", b"\r\n", b"\n", b"\r"])
    data = method + b" " + path + b" " + rng.choice([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9", b""]) + end + end.join(headers) + end + end + body
    if rng.random() < 0.2:
        data = data[:rng.randrange(len(data))]
    for _ in range(rng.choice([0, 0, 0, 1, 5])):
        at = rng.randrange(len(data)) if data else 0
        data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1:]
    return data


def run_raw(server, n, seed):
    rng = random.Random(seed)
    for i in range(n):
        data = raw_request(rng)
        with socket.create_connection(("127.0.0.1", server.port), timeout=ANSWER_S) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                said = b"".join(iter(lambda: s.recv(65536), b""))
            except ConnectionError:
                said = b""
            except TimeoutError as error:
                raise AssertionError(f"raw request {i} of seed {seed} hangs: {data[:300]!r}") from error
        if said.startswith(b"HTTP/1.1 500") or server.process.poll() is not None:
            raise AssertionError(f"raw request {i} of seed {seed}: {said[:200]!r} to {data[:300]!r}")
    if get(server.url + "/health")["status"] != "ok":
        raise AssertionError("the server is not well")


def main():
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(arguments.binary, Path(folder))
        try:
            run_raw(server, arguments.raw, arguments.seed)
            cases = run_schemathesis(server, arguments, Path(folder))
        finally:
            ended = server.stop()
        if ended != 0:
            raise AssertionError(f"the server ended with {ended}")
    print(f"raw bytes: {arguments.raw} requests answered or closed; schemathesis: {cases}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
