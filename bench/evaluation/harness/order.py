"""What order questions are asked in must not matter: the same questions in two orders, alone, and again give the same bytes."""
import json

from lib.files import sha256


def essence(said):
    """An answer or a search without what may differ: times, memory, paths."""
    return sha256([said.get("answer"), said["confidence"], said["sources"], said["gathered_tokens"]])


def searches(engine, context, questions, options):
    return dict(zip(questions, map(essence, engine.search(context, questions, options))))


def asks(engine, context, questions, options):
    """A process for each question."""
    return {question: essence(engine.ask(context, question, options)) for question in questions}


def differences(engine, context, questions, budget, reply_tokens):
    """[(way, question)] where the bytes differ from those of asking in order; [] if none do."""
    turned, found = questions[::-1], []
    search = ("--gather-tokens", str(budget))
    ask = (*search, "--temp", "0", "-n", str(reply_tokens))
    alone = {question: essence(engine.search(context, [question], search)[0]) for question in questions}
    first = searches(engine, context, questions, search)
    for way, other in (("search, other order", searches(engine, context, turned, search)), ("search, alone", alone),
                       ("search, again", searches(engine, context, questions, search))):
        found += [(way, question) for question in questions if other[question] != first[question]]
    first = asks(engine, context, questions, ask)
    other = asks(engine, context, turned, ask)  # in new processes: a restart too
    return found + [("ask, other order and a restart", question) for question in questions if other[question] != first[question]]


def report(context, questions, found):
    said = f"order: {len(questions)} questions of {context}, searched and asked in two orders, alone and again: "
    return said + ("the same bytes" if not found else f"{len(found)} differ: {json.dumps(found)}")
