"""Jinja as transformers' apply_chat_template sets it up, for make_jinja_golden.py and compare_chat_templates.py."""
import copy
import datetime
import functools
import json

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

NOW = "2026-03-07T09:05:00"  # what strftime_now tells where a case has no "now" of its own


class Raised(jinja2.TemplateError):
    """What a template's raise_exception(message) gives."""


class Generation(jinja2.ext.Extension):
    """{% generation %} … {% endgeneration %} marks what a model wrote; rendered, it is its body, in a scope of its own."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise Raised(message)


def make_environment():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    return environment


ENVIRONMENT = make_environment()


@functools.lru_cache(maxsize=8)  # one template is rendered with many contexts
def compile_template(source, now=NOW):
    date = datetime.datetime.fromisoformat(now)
    return ENVIRONMENT.from_string(source, globals={"strftime_now": date.strftime})


def outcome(template, context):
    """{"output": text}, or {"error": the text given to raise_exception, or True}."""
    try:
        return {"output": template().render(**copy.deepcopy(context))}  # `indent` lengthens a list that it is given
    except Raised as error:
        return {"error": str(error)}
    except Exception:  # a hostile template may make Python itself fail in any way
        return {"error": True}


def render(source, context, now=NOW):
    return outcome(lambda: compile_template(source, now), context)
