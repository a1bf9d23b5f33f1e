#!/usr/bin/env python3
"""The official `openai` package, from PyPI, against a running server with a real model: models, whole and streamed answers,
stops, errors, JSON by a schema, log probabilities, and a prompt longer than the model's window, whose answer must come with the passage that holds it.

Exits 1 if anything is other than OpenAI's documents say, or if a fact is not among the passages. The answers are printed.
"""
import argparse
import importlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import haystack
import reform_cli

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "openai==3.57.0"
VERSES = "1sam1:1-1sam12:25"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2-135m.gguf")
    parser.add_argument("--binary", type=Path, default=reform_cli.BINARY)
    parser.add_argument("--work-dir", type=Path, default=ROOT / "build/clients", help="gets the package")
    parser.add_argument("--verses", default=VERSES, help="range of the Bible that makes the long prompt")
    parser.add_argument("--questions", type=int, default=2, help="on the long prompt")
    return parser.parse_args()


def client_package(folder):
    """Downloaded once."""
    if not (folder / "openai").is_dir():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--target", folder,
                        PACKAGE], check=True)
    sys.path.insert(0, str(folder))
    return importlib.import_module("openai")


class Server:
    def __init__(self, arguments, store):
        self.process = subprocess.Popen([arguments.binary, "serve", "--model", arguments.model, "--store", store, "--port", "0", "--json"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {self.process.wait()}")
        self.about = json.loads(line)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def expect(holds, what):
    if not holds:
        raise AssertionError(what)


def user(text):
    return [{"role": "user", "content": text}]


def check_short(openai, client, model):
    expect([m.id for m in client.models.list()][0] == model, "the bare model comes first")
    ask = {"model": model, "messages": [{"role": "system", "content": "Answer in one word."}, *user("What is the capital of France?")],
           "max_tokens": 16}
    whole = client.chat.completions.create(**ask)
    print(f"whole: {whole.choices[0].message.content!r}, {whole.usage.total_tokens} tokens")
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    expect(text == whole.choices[0].message.content, f"the stream says {text!r}")
    expect(chunks[-1].usage.total_tokens == whole.usage.total_tokens, "the stream's usage")
    expect(chunks[-1].usage.prompt_tokens_details.cached_tokens == whole.usage.prompt_tokens, "the same prompt is run again")
    stop = text[1:3]
    cut = client.chat.completions.create(**ask, stop=[stop])
    expect(cut.choices[0].message.content == text[:text.index(stop)] and cut.choices[0].finish_reason == "stop", "stop")
    text = client.completions.create(model=model, prompt="One, two, three,", max_tokens=8).choices[0].text
    print(f"completion: {text!r}")
    for error, more in ((openai.NotFoundError, {"model": "none"}), (openai.BadRequestError, {"n": 2}),
                        (openai.BadRequestError, {"max_tokens": 1 << 20})):
        try:
            client.chat.completions.create(**{**ask, **more})
        except error:
            continue
        raise AssertionError(f"{more} must give {error.__name__}")


def check_forms(client, model):
    """JSON by a schema that the package makes of a class, and log probabilities."""
    pydantic = importlib.import_module("pydantic")
    city = pydantic.create_model("City", name=(str, ...), country=(str, ...), is_capital=(bool, ...), districts=(list[str] | None, ...))
    said = client.chat.completions.parse(model=model, messages=user("Describe Paris as JSON: name, country, is_capital, districts."),
                                         response_format=city, max_tokens=200)
    expect(said.choices[0].finish_reason != "stop" or isinstance(said.choices[0].message.parsed, city), "an answer that fits")
    print(f"JSON: {said.choices[0].message.content!r}")
    said = client.chat.completions.create(model=model, messages=user("Name a colour."), max_tokens=8, logprobs=True, top_logprobs=2)
    tokens = said.choices[0].logprobs.content
    expect("".join(t.token for t in tokens).startswith(said.choices[0].message.content), "the tokens are the text's")
    expect(all(t.logprob <= 0 and t.top_logprobs[0].logprob >= t.logprob for t in tokens), "log probabilities")


def check_long(client, model, arguments):
    facts = haystack.draw_facts(8, seed=5)
    text = haystack.insert(haystack.bible(arguments.verses), facts, seed=5)
    context = None
    for fact in facts[:arguments.questions]:
        begun, first, said, passages, extra = time.monotonic(), None, "", [], {}
        for chunk in client.chat.completions.create(model=model, messages=user(f"{text}\n\n{fact.question}"), max_tokens=48, stream=True):
            delta = chunk.choices[0].delta
            passages += getattr(delta, "annotations", None) or []
            if delta.content and first is None:
                first = time.monotonic() - begun
            said += delta.content or ""
            extra = getattr(chunk, "reform", None) or extra
        expect("long_prompt" in extra, "the prompt fits into this model's window: --verses must name a longer range")
        quotes = [p["passage"]["quote"] for p in passages]
        expect(any(fact.sentence in " ".join(q.split()) or fact.sentence in q for q in quotes), f"not among the passages: {fact.sentence}")
        expect(context in (None, extra["context"]), "the same text has one context")
        context = extra["context"]
        print(f"{extra['long_prompt']['prompt_tokens']:,} tokens, first of the answer after {first:.1f} s: {said!r}; {fact.sentence!r}")


def main():
    arguments = parse()
    openai = client_package(arguments.work_dir / PACKAGE)
    with tempfile.TemporaryDirectory() as store:
        server = Server(arguments, store)
        client = openai.OpenAI(base_url=server.about["url"] + "/v1", api_key="unused", max_retries=0, timeout=3600)
        try:
            check_short(openai, client, server.about["model"])
            check_forms(client, server.about["model"])
            check_long(client, server.about["model"], arguments)
        finally:
            ended = server.stop()
    expect(ended == 0, f"the server ended with {ended}")


if __name__ == "__main__":
    main()
