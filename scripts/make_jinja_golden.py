#!/usr/bin/env python3
"""Writes the expected outputs in tests/golden/jinja: what jinja2 makes of our templates and cases.

    pip install jinja2
    scripts/make_jinja_golden.py

templates/*.jinja and conversations.json are written by hand. templates.json is made of them: one line for each template and
conversation, but for those that add nothing: a rendering is left out if it goes through a template only where others went
already, unless its conversation is one of ALWAYS. language.json is both: to add a case, add a line with its "source" and
"context" ("now" if strftime_now is to tell another date); this script puts "output" or "error" behind it.
"""
import json
import sys
from pathlib import Path

import jinja_reference

DATA = Path(__file__).resolve().parent.parent / "tests/golden/jinja"
ALWAYS = {"user", "system_turns", "markers", "spaces", "non_ascii"}
MOST_BYTES = 900_000


def to_line(value):
    """JSON in one line; what one cannot see is written as an escape."""
    text = json.dumps(value, ensure_ascii=False)
    escape = lambda c: json.dumps(c)[1:-1]
    return "".join(c if c.isprintable() else escape(c) for c in text)


def write_cases(path, cases):
    path.write_text("[\n" + ",\n".join(map(to_line, cases)) + "\n]\n", encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size} bytes")


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def templates():
    paths = sorted((DATA / "templates").glob("*.jinja"))
    return {path.name.removesuffix(".jinja"): path.read_bytes().decode() for path in paths}


def steps_of(template, context):
    """The outcome, and the steps from line to line that the compiled template took."""
    steps = set()

    def trace(frame, event, _):
        if frame.f_code.co_filename != "<template>":
            return None
        last = 0

        def trace_line(frame, event, _):
            nonlocal last
            steps.add((last, frame.f_lineno, event))
            last = frame.f_lineno
            return trace_line
        return trace_line

    sys.settrace(trace)
    try:
        return jinja_reference.outcome(lambda: template, context), steps
    finally:
        sys.settrace(None)


def template_cases(conversations):
    for name, source in templates().items():
        template = jinja_reference.compile_template(source)
        date = {"now": jinja_reference.NOW} if "strftime_now" in source else {}
        seen_steps, seen_outcomes = set(), []
        for conversation, context in conversations.items():
            outcome, steps = steps_of(template, context)
            if (conversation in ALWAYS or not steps <= seen_steps) and outcome not in seen_outcomes:
                yield {"template": name, "conversation": conversation, **date, **outcome}
                seen_steps |= steps
                seen_outcomes.append(outcome)


def language_case(case):
    case = {key: case[key] for key in ("source", "context", "now") if key in case}
    outcome = jinja_reference.render(case["source"], case["context"], case.get("now", jinja_reference.NOW))
    return {**case, **(outcome if "output" in outcome else {"error": True})}


def main():
    write_cases(DATA / "language.json", [language_case(case) for case in read_json(DATA / "language.json")])
    write_cases(DATA / "templates.json", list(template_cases(read_json(DATA / "conversations.json"))))
    if (DATA / "templates.json").stat().st_size > MOST_BYTES:
        sys.exit(f"templates.json: over {MOST_BYTES} bytes: take a name out of ALWAYS, or shorten a conversation")


if __name__ == "__main__":
    main()
