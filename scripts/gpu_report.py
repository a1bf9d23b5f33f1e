"""The results of a GPU run: one JSON file into which parts are merged, and a page of tables made from it."""
import json
import os
import re

import gpu_bench

SCHEMA = 1
GB = 1e9
# Weights read for each decoded token of the synthetic model: its layers and the output matrix, not the embedding.
DECODE_PARAMS = 40 * (2 * 5120 * 4096 + 2 * 5120 * 1024 + 3 * 5120 * 14336) + 131_072 * 5120
BITS = {"bf16": 16, "q4_k": 4.5}
SETTINGS = {
    "bf16-none": "BF16, `none`, 4k chunks, 256 overlap", "bf16-h2o-8k": "BF16, `h2o`, chunk 8k, cache 8k",
    "bf16-h2o-32k": "BF16, `h2o`, chunk 32k, cache 32k", "q4_k-none": "Q4_K, `none`",
    "q4_k-none-4gib": "Q4_K, `none`, `--max-gpu-memory 4GiB`", "q4_k-none-1m": "1M tokens, Q4_K, `none`",
    "fp8-none": "FP8 products, `none`"}
PAPER = (("the paper's REFORM", 27.24, 35.00), ("the paper's H2O", 41.33, 37.85), ("the paper's InfLLM", 129.14, 51.62))


def file_stem(gpu_name, date):
    name = re.sub(r"^nvidia[ -]+(geforce[ -]+)?", "", gpu_name.strip(), flags=re.I)
    return f"{re.sub(r'[^A-Za-z0-9.]+', '-', name).strip('-').lower() or 'gpu'}-{date}"


def load(path):
    if not path.is_file():
        return {"schema": SCHEMA, "parts": {}}
    found = json.loads(path.read_text())
    if found.get("schema") != SCHEMA:
        raise ValueError(f"{path}: schema {found.get('schema')}, expected {SCHEMA}")
    return found


def save(path, results):
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    os.replace(partial, path)


def steps(results, part):
    return {s["name"]: s for s in results["parts"].get(part, {}).get("steps", [])}


def verdict(value, bar, at_most=True):
    if value is None:
        return "not measured"
    return "met" if (value <= bar if at_most else value >= bar) else "not met"


def bars(results):
    """[{what, value, bar, unit, verdict}], of what was measured at full size."""
    rows = {**steps(results, "job"), **steps(results, "memory"), **steps(results, "million")}
    rows = {k: r for k, r in rows.items() if r.get("scale") == 1.0}
    found = []

    def add(what, value, bar, unit, at_most=True):
        found.append({"what": what, "value": value, "bar": bar, "unit": unit, "at_most": at_most,
                      "verdict": verdict(value, bar, at_most)})

    def of(key, field, unit=1.0):
        value = rows.get(key, {}).get(field)
        return None if value is None else value / unit

    def ratio(a, b):
        return a / b if a is not None and b else None

    for key, time_s, peak_gb in (("bf16-none", 7.5, 27.5), ("bf16-h2o-8k", 10, 27.5), ("q4_k-none", 8, 9)):
        add(f"{SETTINGS[key]}: time", of(key, "time_s"), time_s, "s")
        add(f"{SETTINGS[key]}: peak", of(key, "peak_bytes", GB), peak_gb, "GB")
    add("FP8 products: time", of("fp8-none", "time_s"), 5, "s")
    add(f"{SETTINGS['q4_k-none-4gib']}: ingest to first token, of resident",
        ratio(of("q4_k-none-4gib", "first_token_s"), of("q4_k-none", "first_token_s")), 1.5, "x")
    add(f"{SETTINGS['q4_k-none-4gib']}: peak, of the cap", of("q4_k-none-4gib", "peak_bytes", gpu_bench.GPU_CAP_BYTES), 1.0, "x")
    add(f"{SETTINGS['q4_k-none-4gib']}: decode, of the planned rate", planned_rate(rows.get("q4_k-none-4gib")), 0.9, "x",
        at_most=False)
    add("1M tokens, Q4_K: time, of the 256k one's", ratio(of("q4_k-none-1m", "time_s"), of("q4_k-none", "time_s")), 4.1, "x")
    add("1M tokens, Q4_K: peak in the arena, of the 256k one's",
        ratio(arena_peak(rows.get("q4_k-none-1m")), arena_peak(rows.get("q4_k-none"))), 1.01, "x")
    for key in ("bf16-none", "q4_k-none"):
        add(f"{SETTINGS[key]}: the arena, of its peak", ratio(arena_bytes(rows.get(key)), arena_peak(rows.get(key))), 1.02, "x")
    for key in gpu_bench.ROWS:
        if key in rows:
            add(f"{SETTINGS[key]}: plan against peak, the worst category", plan_error(rows[key]), 0.02, "of the peak")
    add("ask on 1M tokens: first token, after loading", of("ask-warm", "first_token_after_load_s"), 1.5, "s")
    return found + kernel_bars(results, rows)


def most(row, field):
    """Of ingest and ask."""
    return max((row[verb]["memory_bytes"].get(field, 0) for verb in ("ingest", "ask") if row and verb in row), default=0) or None


def arena_peak(row):
    return most(row, "peak_gpu")


def arena_bytes(row):
    return most(row, "gpu_arena")


def plan_error(row):
    """By how much a category's plan missed its peak in the arena, of the peak; those below 1 MiB are left out."""
    found = [abs(c["planned"] - c["peak"]) / max(c["peak"], 1) for verb in ("ingest", "ask")
             for c in (row.get(verb, {}).get("gpu_memory_bytes") or {}).values() if max(c.values()) >= 1 << 20]
    return max(found, default=None)


def planned_rate(row):
    planned = ((row or {}).get("ask", {}).get("gpu_weights") or {}).get("planned_tokens_per_second")
    rate = (row or {}).get("ask", {}).get("decoded_per_second")
    return rate / planned if planned and rate else None


def weights_place(row):
    """Where ask had the weights."""
    place = row["ask"].get("gpu_weights")
    if not place:
        return ""
    if place["place"] == "resident":
        return "resident"
    layers = place["resident_layers"] + place["streamed_layers"]
    return f"{place['resident_layers']} of {layers} layers, the rest from {place['place']}"


def dense_tflops(results):
    """The best that a large BF16 product reached in this run, ours or PyTorch's."""
    rates = [steps(results, "kernels").get("bench_gpu", {}).get("peaks", {}).get("dense_bf16_tflops"),
             steps(results, "peer").get("pytorch", {}).get("matmul_bf16_tflops")]
    rates = [r for r in rates if r]
    return max(rates) if rates else None


def kernel_bars(results, rows):
    bench = steps(results, "kernels").get("bench_gpu", {})
    cases = {c["name"]: c for c in bench.get("cases", []) if c.get("state") == "ok"}
    dense, read = dense_tflops(results), bench.get("peaks", {}).get("read_gbs")
    found = []

    def add(what, value, bar):
        found.append({"what": what, "value": value, "bar": bar, "unit": "x", "at_most": False,
                      "verdict": verdict(value, bar, at_most=False)})

    for quant in ("bf16", "q4_k"):  # a layer's products, each as often as the layer has it
        of_layer = [c for name, c in cases.items() if name.startswith(f"matmul/{quant}/") and c.get("per_layer")]
        time_ms = sum(c["per_layer"] * c["median_ms"] for c in of_layer)
        rate = sum(c["per_layer"] * c["work"] for c in of_layer) / time_ms / 1e9 if time_ms else None
        add(f"matrix products of phase 1, {quant}, of the dense rate", rate / dense if rate and dense else None, 0.85)
    rates = [c["value"] for name, c in cases.items() if name.startswith("attention/")]
    add("attention (the slowest case), of the dense rate", min(rates) / dense if rates and dense else None, 0.60)
    row = rows.get("q4_k-none", {})
    rate = row.get("ask", {}).get("decoded_per_second")
    value = rate * DECODE_PARAMS * BITS["q4_k"] / 8 / 1e9 / read if rate and read else None
    add("decode, batch 1, Q4_K, resident, of the memory bandwidth", value, 0.70)
    return found


# The page


def figure(value, digits=2):
    return "–" if value is None else f"{value:,.{digits}f}"


def table(head, rows):
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join('---' for _ in head)}|"]
    return lines + [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows] + [""]


def bar_lines(results):
    rows = [(b["what"], figure(b["value"]) + f" {b['unit']}" if b["value"] is not None else "–",
             f"{'≤' if b['at_most'] else '≥'} {b['bar']:g} {b['unit']}", b["verdict"]) for b in bars(results)]
    return ["## Bars", "", "Set for one H100.", "", *table(("what", "measured", "bar", ""), rows)]


def job_lines(results):
    rows = []
    for part in ("job", "memory", "million"):
        for step in results["parts"].get(part, {}).get("steps", []):
            if step["name"] not in SETTINGS:
                continue
            if "time_s" not in step:
                rows.append((SETTINGS[step["name"]], *["–"] * 8, f"{step['state']}: {step.get('note', '')}"))
                continue
            peak, arena = step.get("peak_bytes"), arena_peak(step)
            rows.append((SETTINGS[step["name"]], f"{step['tokens']:,}", figure(step["time_s"]), figure(step["wall_s"]),
                         figure(step["ingest"]["total_s"]), figure(step["ask"]["first_token_s"]),
                         figure(step["ask"]["decoded_per_second"], 1),
                         f"{figure(peak and peak / GB)} ({figure(arena and arena / GB)})", weights_place(step),
                         step.get("note", "") or step["state"]))
    if not rows:
        return []
    rows += [(name, "256k", figure(s), "", "", "", "", figure(gb), "", "one H100, as published") for name, s, gb in PAPER]
    head = ("setting", "tokens", "time s", "processes s", "ingest s", "ask to first token s", "tokens/s decoded",
            "peak GB (in the arena)", "weights", "")
    return ["## The whole job", "", gpu_bench.__doc__.split("\n\n", 1)[1].strip(), "", *table(head, rows)]


def ask_lines(results):
    rows = []
    for name, about in (("ask-cold", "its files read from the disk"), ("ask-warm", "once more, its files read lately")):
        step = steps(results, "million").get(name)
        if step and "first_token_s" in step:
            rows.append((about, figure(step["first_token_s"], 3), figure(step["first_token_after_load_s"], 3),
                         *(figure(step["phases"].get(f"{p}_ms"), 1) for p in ("load", "query", "gather", "recompute")),
                         figure(step["wall_s"])))
    if not rows:
        return []
    head = ("a question on 1M tokens", "first token s", "after loading the cache s", "load ms", "query ms", "gather ms",
            "recompute ms", "process s")
    return ["## Asking", "", *table(head, rows)]


def kernel_lines(results):
    bench, peer = steps(results, "kernels").get("bench_gpu", {}), steps(results, "peer").get("pytorch", {})
    lines = []
    if "peaks" in bench:
        lines += ["## Kernels", "", *table(("of the machine, in this run", ""),
                                           [(k, v if isinstance(v, str) else figure(v, 1)) for k, v in bench["peaks"].items()])]
        dense, read = dense_tflops(results), bench["peaks"].get("read_gbs")
        rows = []
        for case in bench["cases"]:
            whole = dense if case.get("unit") == "TFLOP/s" else read
            value = case.get("value")
            rows.append((case["name"], figure(case.get("median_ms"), 3), figure(case.get("spread"), 3),
                         f"{figure(value, 1)} {case.get('unit', '')}", figure(value / whole) if value and whole else "–",
                         case.get("note", case["state"])))
        lines += table(("case", "median ms", "spread (max-min)/median", "rate", "share", "check"), rows)
    if "cases" in peer:
        rows = [(c["name"], figure(c.get("median_ms"), 3), figure(c.get("tflops"), 1), c.get("note", "")) for c in peer["cases"]]
        lines += [f"PyTorch {peer.get('torch')} on the same GPU:", "", *table(("case", "median ms", "TFLOP/s", ""), rows)]
    return lines


def part_lines(results):
    rows = [(part, step["name"], step["state"], figure(step.get("seconds"), 1), step.get("note", ""))
            for part, record in results["parts"].items() for step in record["steps"]]
    lines = ["## All steps", "", *table(("part", "step", "", "s", ""), rows)]
    commands = [(f"{part}/{step['name']}", command) for part, record in results["parts"].items() for step in record["steps"]
                for command in [step.get("command"), step.get("ask", {}).get("command")] if command]
    lines += ["Commands, from the tree's root (`./dev gpu --prepare` makes the files that they name):", "", "```"]
    return lines + [f"# {name}\n{command}" for name, command in commands] + ["```", ""]


def page(results):
    gpu, host = results.get("gpu", {}), results.get("host", {})
    builds = sorted({r["build"] for r in results["parts"].values() if r.get("build")})
    lines = [f"# {gpu.get('name', 'GPU')}, {results.get('date', '')}", "",
             f"Driver {gpu.get('driver_version')}, compute capability {gpu.get('compute_cap')}, "
             f"{gpu.get('memory_total')} MiB; {host.get('cpu')}, {host.get('cores')} cores; reform at commit "
             f"{', '.join(builds) or 'unknown'}. Made by `./dev gpu`; GB = 10^9 bytes.", ""]
    return "\n".join(lines + bar_lines(results) + job_lines(results) + ask_lines(results) + kernel_lines(results) +
                     part_lines(results))
