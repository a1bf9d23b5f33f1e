"""The benches of a GPU run: kernels, PyTorch's beside them, and the whole job on synthetic models of a real shape.

A whole job is `reform ingest` and then `reform ask`, each a process. Its time is the sum of what both report (total_ms: from
the first token read to the last one written and the index synced). That does not include starting the process and making
the random weights; the wall time of both processes is shown beside it. Memory is what the driver reports for the process.
"""
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import gpu_machine
from gpu_checks import parse_object, plain_text
from gpu_run import Step, StepFailed, StepSkipped

MODEL = "mistral-nemo-12b"
HEADS = ("v27.0", "q27.5", "v20.3", "q15.2")  # the deepest is in layer 27: layers 0 to 27 run in phase 1
TOKENS, MANY_TOKENS = 262_144, 1_048_576
GATHERED, NEW_TOKENS = 8192, 32
QUESTION = "Where did the ark come to rest? "  # 32 bytes, which are 32 tokens of a synthetic model
GPU_CAP_BYTES = 4 << 30
KERNELS_JSON = "kernels.json"


@dataclass(frozen=True)
class Row:
    """One setting of the whole job; report() (gpu_report.py) has the bars."""
    key: str
    weights: str
    cap_bytes: str  # of GPU memory: an engine takes what it may have at once, so each row runs under its bar
    ingest: tuple
    tokens: int = TOKENS
    limit_s: float = 120

    @property
    def both(self):
        """Options of ingest and ask."""
        return ("--max-gpu-memory", str(int(float(self.cap_bytes))))


NONE = ("--policy", "none", "--chunk-tokens", "4096", "--overlap-tokens", "256")
ROWS = {r.key: r for r in (
    Row("bf16-none", "bf16", "27.5e9", NONE),
    Row("fp8-none", "bf16", "27.5e9", (*NONE, "--gpu-products", "fp8")),
    Row("bf16-h2o-8k", "bf16", "27.5e9", ("--policy", "h2o", "--chunk-tokens", "8192", "--cache-tokens", "8192")),
    Row("bf16-h2o-32k", "bf16", "35e9", ("--policy", "h2o", "--chunk-tokens", "32768", "--cache-tokens", "32768")),
    Row("q4_k-none", "q4_k", "9e9", NONE),
    Row("q4_k-none-4gib", "q4_k", str(GPU_CAP_BYTES), NONE),
    Row("q4_k-none-1m", "q4_k", "9e9", NONE, tokens=MANY_TOKENS, limit_s=180),
)}


# Kernels


def kernels(place, limit_s):
    out_path = place.work / KERNELS_JSON
    out_path.parent.mkdir(parents=True, exist_ok=True)
    out_path.unlink(missing_ok=True)
    status, _, _ = place.call([place.program("bench_gpu"), "--device", str(place.device), "--json", out_path,
                               "--seconds", f"{max(limit_s - 15, 10):.0f}"], limit_s, "bench_gpu")
    if not out_path.is_file():
        raise StepFailed(f"exit status {status}: {place.error_of('bench_gpu')}")
    result = json.loads(out_path.read_text())
    wrong = [c["name"] for c in result["cases"] if c["state"] != "ok"]
    if status != 0 or wrong:
        result.update(state="failed", note=f"exit status {status}; not right or not reached: {', '.join(wrong) or 'none'}")
    return result


def peer(place, limit_s):
    script = place.tree / "bench/gpu/attention_peer.py"
    # PyTorch finds its own libraries; others' in front of them would be mixed with those.
    python = Path(sys.executable).name
    if shutil.which(python) is None or not os.path.samefile(shutil.which(python), sys.executable):
        python = sys.executable
    status, out, _ = place.call([python, script, "--device", str(place.device)], limit_s, "peer", cublas=False)
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if status != 0 or not lines:
        raise StepFailed(f"exit status {status}: {place.error_of('peer')}")
    result = json.loads(lines[-1])
    if result.get("skipped"):
        raise StepSkipped(result["skipped"])
    return result


# The whole job


def prepare(place, n_tokens):
    """The text (a byte is a token) and the heads."""
    place.work.mkdir(parents=True, exist_ok=True)
    n = max(int(n_tokens * place.scale), 1024)
    text = place.work / f"text-{n}.txt"
    if not text.is_file() or text.stat().st_size != n:
        text.write_bytes(plain_text(place, n))
    heads = place.work / "heads.json"
    heads.write_text(json.dumps({"heads": list(HEADS)}) + "\n")
    return text, heads


def reform(place, name, arguments, limit_s):
    """(the command's object, wall seconds, the GPU's memory meanwhile, the command)"""
    reader, _ = gpu_machine.memory_reader(place.device, place.nvml)
    sampler = gpu_machine.MemorySampler(reader)
    try:
        status, out, wall_s = place.call([place.program("reform"), *arguments, "--json"], limit_s, name, sampler)
    finally:
        memory = sampler.stop()
    return parse_object(status, out, place, name), wall_s, memory, place.command


def ask_arguments(place, row, store, gathered):
    return ["ask", "--synthetic", f"{MODEL}:{row.weights}", "--device", place.device_name, "--store", store, *row.both,
            "--gather-tokens", str(gathered), "-n", str(NEW_TOKENS), "--ignore-eos", row.key, QUESTION]


def phases(found):
    return {key: round(value, 3) for key, value in found["timings"].items() if key.endswith("_ms")}


def memory_fields(found):
    return {"memory_bytes": found["memory_bytes"], **{key: found.get(key) for key in ("gpu_memory_bytes", "gpu_weights")}}


def peak_bytes(*memories):
    """(bytes, source): the process's memory by the driver, or the growth of the device's use if the driver does not tell."""
    for key in ("process_bytes", "device_growth_bytes"):
        values = [m[key] for m in memories if m[key]]
        if len(values) == len(memories):
            return max(values), key[:-len("_bytes")]
    return None, None


def ask_result(found, wall_s, memory, command):
    timings = found["timings"]
    first_ms = timings["total_ms"] - timings["predicted_ms"]
    further = timings["predicted_n"] - 1  # the first token comes with the prompt: predicted_ms is of those after it
    decoded_per_second = further * 1e3 / timings["predicted_ms"] if further > 0 and timings["predicted_ms"] > 0 else None
    return {"command": command, "wall_s": round(wall_s, 3), "total_s": round(timings["total_ms"] / 1e3, 4),
            "first_token_s": round(first_ms / 1e3, 4), "first_token_after_load_s":
            round((first_ms - timings["load_ms"]) / 1e3, 4), "phases": phases(found), "predicted_n": timings["predicted_n"],
            "decoded_per_second": decoded_per_second, "recomputed_tokens": found["recomputed_tokens"],
            **memory_fields(found), "driver": memory,
            "finish_reason": found["finish_reason"]}


def whole_job(row):
    def run(place, limit_s):
        text, heads = prepare(place, row.tokens)
        store = place.work / f"store-{row.key}"
        shutil.rmtree(store, ignore_errors=True)
        ingest = ["ingest", "--synthetic", f"{MODEL}:{row.weights}", "--device", place.device_name, "--store", store, *row.both,
                  *row.ingest, "--heads", heads, row.key, text]
        found, wall_s, memory, command = reform(place, f"{row.key}-ingest", ingest, limit_s)
        result = {"command": command, "tokens": found["context"]["n_tokens"], "scale": place.scale, "ingest": {
            "command": command, "wall_s": round(wall_s, 3), "total_s": round(found["timings"]["total_ms"] / 1e3, 4),
            "phases": phases(found), **memory_fields(found), "driver": memory}}
        gathered = min(GATHERED, max(result["tokens"] // 4, 64))
        place.command = ""
        asked, ask_wall_s, ask_memory, ask_command = reform(place, f"{row.key}-ask",
                                                            ask_arguments(place, row, store, gathered), limit_s - wall_s)
        result["ask"] = ask_result(asked, ask_wall_s, ask_memory, ask_command)
        if asked["timings"]["predicted_n"] != NEW_TOKENS:
            result.update(state="failed", note=f"{asked['timings']['predicted_n']} tokens decoded instead of {NEW_TOKENS}")
        peak, source = peak_bytes(memory, ask_memory)
        result.update(time_s=round(result["ingest"]["total_s"] + result["ask"]["total_s"], 4),
                      wall_s=round(wall_s + ask_wall_s, 3), peak_bytes=peak, peak_from=source,
                      first_token_s=round(result["ingest"]["total_s"] + result["ask"]["first_token_s"], 4))
        if row.tokens == TOKENS:  # the million's stays: it is asked again
            shutil.rmtree(store, ignore_errors=True)
        return result
    return run


def drop_from_page_cache(folder):
    """Lets the system forget the store's files, so that they are read from the disk."""
    for path in Path(folder).rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


def ask_million(cold):
    def run(place, limit_s):
        row = ROWS["q4_k-none-1m"]
        store = place.work / f"store-{row.key}"
        if not store.is_dir():
            raise StepSkipped(f"there is no context of {row.tokens:,} tokens: the step {row.key} makes it")
        if cold:
            drop_from_page_cache(store)
        gathered = min(GATHERED, max(int(row.tokens * place.scale) // 4, 64))
        name = f"ask-{'cold' if cold else 'warm'}"
        asked = reform(place, name, ask_arguments(place, row, store, gathered), limit_s)
        return {**ask_result(*asked), "scale": place.scale}
    return run


def where_there_is_fp8(job):
    def run(place, limit_s):
        try:
            return job(place, limit_s)
        except StepFailed as failed:
            if "--gpu-products fp8" in str(failed):  # what reform says of a chip or a library that has none
                raise StepSkipped(str(failed)) from None
            raise
    return run


def row_steps(*keys):
    return [Step(key, whole_job(ROWS[key]), ROWS[key].limit_s) for key in keys]


def kernels_part(_):
    return [Step("bench_gpu", kernels, 180)]


def peer_part(_):
    return [Step("pytorch", peer, 60)]


def job_part(_):
    return [*row_steps("q4_k-none", "bf16-none", "bf16-h2o-8k"),
            Step("fp8-none", where_there_is_fp8(whole_job(ROWS["fp8-none"])), ROWS["fp8-none"].limit_s)]


def memory_part(_):
    return row_steps("q4_k-none-4gib", "bf16-h2o-32k")


def million_part(_):
    return [*row_steps("q4_k-none-1m"), Step("ask-cold", ask_million(True), 40), Step("ask-warm", ask_million(False), 40)]
