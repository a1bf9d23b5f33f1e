#!/usr/bin/env python3
"""Compares a Jinja program with jinja2, on all that tests/golden/jinja has and on further chat templates.

    pip install jinja2
    scripts/compare_chat_templates.py --program build/release/bin/jinja_lines
    scripts/compare_chat_templates.py --program build/release/bin/jinja_lines models/*.gguf folder/of/templates one.jinja

The program reads one JSON object a line, {"source": template, "context": {…}, "now": "2026-03-07T09:05:00"}, and prints one
line for each: {"output": text} or {"error": message}. Each template is rendered with each conversation of
conversations.json. Where jinja2 fails the program must fail too; the text of raise_exception must be in its message.
A folder stands for the *.jinja and *.gguf files in it and below; of a GGUF file, its chat templates are read.
"""
import argparse
import json
import struct
import subprocess
import sys
from pathlib import Path

import jinja_reference
import make_jinja_golden

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # GGUF's types
STRING, ARRAY = 8, 9
SHOWN = 60  # characters of both around the first difference


def gguf_templates(path):
    """Name and text of each chat template in a GGUF file's header."""
    with open(path, "rb") as file:
        def number(code):
            return struct.unpack("<" + code, file.read(struct.calcsize("<" + code)))[0]

        def value(kind):
            if kind == STRING:
                return file.read(number("Q")).decode("utf-8", "replace")
            if kind == ARRAY:
                inner, n = number("I"), number("Q")
                return [value(inner) for _ in range(n)]
            return number(SCALARS[kind])

        if file.read(4) != b"GGUF":
            raise ValueError("not a GGUF file")
        number("I"), number("Q")  # version, number of tensors
        for _ in range(number("Q")):
            key = value(STRING)
            content = value(number("I"))
            if key.startswith("tokenizer.chat_template") and isinstance(content, str):
                yield f"{path}: {key}", content


def templates_of(file):
    try:
        if file.suffix == ".gguf":
            return list(gguf_templates(file))
        return [(str(file), file.read_bytes().decode("utf-8"))]
    except (OSError, ValueError, KeyError, struct.error) as error:
        sys.exit(f"{file}: cannot be read: {error}")


def further_templates(paths):
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.suffix in (".jinja", ".gguf")) if path.is_dir() else [path]
        for file in files:
            yield from templates_of(file)


def renderings(paths):
    """(template's name, what is rendered, source, context, now), each with what jinja2 makes of it."""
    for i, case in enumerate(make_jinja_golden.read_json(make_jinja_golden.DATA / "language.json")):
        now = case.get("now", jinja_reference.NOW)
        wanted = jinja_reference.render(case["source"], case["context"], now)
        yield f"language.json:{i + 2}", case["source"], case["source"], case["context"], now, wanted
    conversations = make_jinja_golden.read_json(make_jinja_golden.DATA / "conversations.json")
    for name, source in [*make_jinja_golden.templates().items(), *further_templates(paths)]:
        for conversation, context in conversations.items():
            wanted = jinja_reference.render(source, context)
            yield name, conversation, source, context, jinja_reference.NOW, wanted


def run_program(program, cases):
    lines = [json.dumps({"source": source, "context": context, "now": now}) for _, _, source, context, now, _ in cases]
    done = subprocess.run([program], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, encoding="utf-8")
    answers = done.stdout.split("\n")[:-1]
    if done.returncode != 0 or len(answers) != len(lines):
        name, what = cases[min(len(answers), len(cases) - 1)][:2]
        sys.exit(f"{program}: exit code {done.returncode} after {len(answers)} of {len(lines)} answers; "
                 f"the next was {name}, {what!r}")
    return [read_answer(program, answer) for answer in answers]


def read_answer(program, line):
    try:
        answer = json.loads(line)
        if isinstance(answer.get("output", answer.get("error")), str):
            return answer
    except (ValueError, AttributeError):
        pass
    sys.exit(f"{program}: an answer is neither {{\"output\": text}} nor {{\"error\": message}}: {line[:SHOWN]}")


def difference(wanted, got):
    """None, or in words where the two part."""
    if "error" in wanted:
        if "error" not in got:
            return f"jinja2 fails ({wanted['error']}), the program gives {got['output'][:SHOWN]!r}"
        told = wanted["error"] is True or str(wanted["error"]) in got["error"]
        return None if told else f"jinja2 raises {wanted['error']!r}, the program {got['error']!r}"
    if "error" in got:
        return f"the program fails: {got['error']}"
    a, b = wanted["output"], got["output"]
    if a == b:
        return None
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    begin = max(0, at - SHOWN // 2)
    return f"at character {at}: jinja2 …{a[begin:at + SHOWN]!r}, the program …{b[begin:at + SHOWN]!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the program to compare")
    parser.add_argument("templates", nargs="*", type=Path, help="further templates: *.jinja, *.gguf, or folders of them")
    arguments = parser.parse_args()
    for path in (Path(arguments.program), *arguments.templates):
        if not path.exists():
            parser.error(f"{path}: no such file")
    cases = list(renderings(arguments.templates))
    differing, n_differing = {}, 0
    for (name, what, *_, wanted), got in zip(cases, run_program(arguments.program, cases)):
        found = difference(wanted, got)
        if found:
            n_differing += 1
            differing.setdefault(name, f"{name}: {what!r}: {found}")
    print(*differing.values(), sep="\n", end="\n" if differing else "")
    n_templates = len({name for name, *_ in cases})
    verdict = f"{n_differing} differ, of {len(differing)} templates" if differing else "all equal"
    print(f"{n_templates} templates, {len(cases)} renderings: {verdict}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
