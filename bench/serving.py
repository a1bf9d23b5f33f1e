#!/usr/bin/env python3
"""The server under load: how soon it answers alone, and what many askers beside a text that is being read do to it.

    bench/serving.py --model models/qwen2.5-coder-0.5b.gguf --tokens 128000 --minutes 10

1. A context of so many tokens is read (kept in --work-dir for the next run).
2. Alone: the first token of a new question and of the same again, what comes before recompute, a search. Medians.
3. Load: --askers clients ask at random, as streams and as wholes, for so many minutes, while another text is read into the store by
   another process. Each answer is compared with the one that its question had alone; anything but 200 and 429 is an error.

Writes a table to bench/results/. Exits 1 if an answer differs, an error came, or the memory's cap did not hold.
"""
import argparse
import collections
import http.client
import json
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import haystack  # noqa: E402
import machine  # noqa: E402
import reform_cli  # noqa: E402

BYTES_PER_TOKEN = 3.4
WHOLE_BIBLE = "gen1:1-rev22:21"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--binary", type=Path, default=reform_cli.BINARY)
    parser.add_argument("--tokens", type=int, default=128_000, help="of the context that is asked")
    parser.add_argument("--text", type=Path, help="in place of Bible verses with facts in them")
    parser.add_argument("--gather-tokens", type=int, default=2048)
    parser.add_argument("--answer-tokens", type=int, default=32)
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--askers", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10, help="of load; 0: none")
    parser.add_argument("--max-host-memory", default="4GiB")
    parser.add_argument("--work-dir", type=Path, default=ROOT / "build/serving")
    parser.add_argument("--out", type=Path, help="by default bench/results/serving_MODEL.md")
    return parser.parse_args()


class Server:
    def __init__(self, arguments, store):
        command = [arguments.binary, "serve", "--model", arguments.model, "--store", store, "--port", "0", "--json", "--max-host-memory",
                   arguments.max_host_memory, "--queue", str(max(32, arguments.askers // 2))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the server ended with {self.process.wait()}")
        self.port = json.loads(line)["port"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def send(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=900)
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        return connection, connection.getresponse()

    def call(self, path, body=None):
        connection, response = self.send(path, body)
        text = response.read().decode()
        connection.close()
        return response.status, text

    def metrics(self):
        lines = self.call("/metrics")[1].splitlines()
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


class Asker:
    def __init__(self, server, arguments):
        self.server, self.arguments = server, arguments

    def body(self, question, stream):
        return {"model": "reform:text", "messages": [{"role": "user", "content": question}], "stream": stream,
                "max_tokens": self.arguments.answer_tokens, "gather_tokens": self.arguments.gather_tokens}

    def whole(self, question):
        """(status, answer, what the server says of it)"""
        status, text = self.server.call("/v1/chat/completions", self.body(question, False))
        said = json.loads(text)
        return (status, said["choices"][0]["message"]["content"], said["reform"]) if status == 200 else (status, text, {})

    def stream(self, question):
        """(status, answer, ms to its first piece)"""
        begun, first_ms, answer = time.monotonic(), None, ""
        connection, response = self.server.send("/v1/chat/completions", self.body(question, True))
        if response.status != 200:
            text = response.read().decode()
            connection.close()
            return response.status, text, None
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[len(b"data: "):])
            if "error" in chunk:
                return 0, chunk["error"]["message"], None
            piece = chunk["choices"][0]["delta"].get("content") if chunk["choices"] else None
            if piece and first_ms is None:
                first_ms = (time.monotonic() - begun) * 1000
            answer += piece or ""
        connection.close()
        return 200, answer, first_ms


def read_text(arguments, store):
    """The questions; the context `text` is in the store afterwards."""
    folder = arguments.work_dir
    folder.mkdir(parents=True, exist_ok=True)
    n_bytes = int(arguments.tokens * BYTES_PER_TOKEN)
    if arguments.text:
        text, facts = arguments.text.read_text()[:n_bytes], []
    else:
        facts = haystack.draw_facts(arguments.questions, 1)
        text = haystack.insert(haystack.bible(WHOLE_BIBLE)[:n_bytes], facts, 1)
    file = folder / "text.txt"
    file.write_text(text)
    print(f"reading some {arguments.tokens:,} tokens (kept for the next run)", flush=True)
    reform_cli.run("ingest", "text", file, "--model", arguments.model, "--store", store, binary=arguments.binary, show_progress=True)
    words = [line for line in text.splitlines() if len(line) > 40]
    rng = random.Random(2)
    return [fact.question for fact in facts] or [f"What is said of this: {rng.choice(words)[:80]}?" for _ in range(arguments.questions)]


def median(values):
    return statistics.median(values) if values else float("nan")


def alone(server, asker, questions):
    """(rows of the table, the answers)"""
    answers, first, again, before = {}, [], [], []
    asker.whole("What is this about?")  # pages of the model's file that nobody touched yet
    for question in questions:
        status, answer, ms = asker.stream(question)
        if status != 200:
            raise SystemExit(f"{status}: {answer}")
        answers[question] = answer
        first.append(ms)
        again.append(asker.stream(question)[2])
        timings = asker.whole(question)[2]["timings"]
        before.append(sum(timings[k] for k in ("load_ms", "query_ms", "gather_ms")))
    searches = []
    for question in questions:
        begun = time.monotonic()
        server.call("/search", {"contexts": "text", "question": question})
        searches.append((time.monotonic() - begun) * 1000)
    return [("first token, new question", median(first)), ("first token, the same again", median(again)),
            ("all before recompute", median(before)), ("/search", median(searches))], answers


def under_load(server, asker, answers, arguments, store):
    counts, first, lock, stop = collections.Counter(), [], threading.Lock(), time.monotonic() + arguments.minutes * 60
    wrong = []

    def ask_on(seed):
        rng = random.Random(seed)
        while time.monotonic() < stop:
            question = rng.choice(list(answers))
            try:
                status, answer, ms = asker.stream(question) if rng.random() < 0.5 else (*asker.whole(question)[:2], None)
            except (OSError, http.client.HTTPException, ValueError) as error:
                status, answer, ms = type(error).__name__, str(error), None
            with lock:
                counts[status] += 1
                if status == 200 and answer != answers[question]:
                    wrong.append((question, answer))
                if status == 200 and ms is not None:
                    first.append(ms)
            if status == 429:
                time.sleep(rng.uniform(0.5, 2))
    other = arguments.work_dir / "other.txt"
    other.write_text((arguments.work_dir / "text.txt").read_text()[::-1])
    reading = subprocess.Popen([arguments.binary, "ingest", "other", other, "--model", arguments.model, "--store", store, "--replace", "-q"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    threads = [threading.Thread(target=ask_on, args=(seed,)) for seed in range(arguments.askers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reading.terminate()
    reading.wait()
    return counts, wrong, first


def main():
    arguments = parse()
    store = arguments.work_dir / f"store-{arguments.model.stem}-{arguments.tokens}"
    questions = read_text(arguments, store)
    server = Server(arguments, store)
    asker = Asker(server, arguments)
    bad = []
    try:
        rows, answers = alone(server, asker, questions)
        lines = [f"# The server: {arguments.model.stem}", "", f"{machine.cpu_name()}; reform {machine.commit()}.", "",
                 f"A context of some {arguments.tokens:,} tokens, {arguments.gather_tokens:,} gathered, medians of {len(questions)} questions.", "",
                 "| alone | ms |", "|---|--:|", *(f"| {name} | {ms:,.0f} |" for name, ms in rows)]
        if arguments.minutes > 0:
            counts, wrong, first = under_load(server, asker, answers, arguments, store)
            metrics = server.metrics()
            peak, cap = sum(v for k, v in metrics.items() if k.startswith("reform_memory_bytes{") and "weights" not in k), metrics["reform_memory_limit_bytes"]
            errors = sum(n for status, n in counts.items() if status not in (200, 429))
            lines += ["", f"{arguments.askers} askers for {arguments.minutes:g} minutes while another process reads a text of the same size:", "",
                      "| | |", "|---|--:|", f"| answers | {counts[200]:,} |", f"| told to come back (429) | {counts[429]:,} |",
                      f"| errors | {errors} |", f"| answers that differ from those alone | {len(wrong)} |",
                      f"| first token, median of streams | {median(first) / 1000:,.1f} s |",
                      f"| accounted memory at the end | {peak / 2**20:,.0f} MiB of {cap / 2**20:,.0f} |"]
            bad = [name for name, is_bad in (("errors", errors), ("wrong answers", wrong), ("memory", peak > cap)) if is_bad]
            for question, answer in wrong[:3]:
                print(f"differs: {question!r}: {answer!r} and not {answers[question]!r}", file=sys.stderr)
    finally:
        ended = server.stop()
    words = " ".join(f"--{name} {getattr(arguments, name.replace('-', '_'))}" for name in ("tokens", "askers", "minutes", "gather-tokens"))
    lines += ["", f"Repeat: `bench/serving.py --model models/{arguments.model.name} {words}`", ""]
    out = arguments.out or ROOT / f"bench/results/serving_{arguments.model.stem}.md"
    out.write_text("\n".join(lines))
    print("\n".join(lines))
    if ended != 0:
        bad.append(f"the server ended with {ended}")
    if bad:
        print("bad: " + ", ".join(bad), file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
