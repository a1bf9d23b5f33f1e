#!/usr/bin/env python3
"""Writes tests/golden/dequant.bin: blocks of every tensor format, and their values by the `gguf` package.

Needs numpy and gguf (PyPI). Layout, little-endian: "RDQ1", u32 n_types; per type u32 gguf_id, u32 n_blocks,
u32 n_block_bytes (all blocks), u32 n_elems, the blocks, then n_elems float32.
"""
import pathlib
import struct
import sys

import gguf
import numpy as np

TYPES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K".split()
# Where each format keeps its half scales; the other bytes may be anything.
HALF_OFFSETS = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
                "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
# Zero, minus zero, the smallest and largest subnormals, the smallest normal, one, the largest, and negatives.
EDGE_HALVES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x3C00, 0x7BFF, 0xFBFF, 0x2E66]


def random_halves(rng, shape):
    """Finite halves of every exponent."""
    bits = rng.integers(0, 65536, shape, dtype=np.uint16)
    return np.where((bits & 0x7C00) == 0x7C00, bits & 0x83FF, bits).astype(np.uint16)


def make_blocks(name, rng):
    block_elems, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    if block_elems == 1:
        n = 96
        if name == "F32":
            values = np.concatenate([[0.0, -0.0, 1e-45, 3.4e38, -1e-38], rng.normal(size=n - 5)])
            return values.astype(np.float32).view(np.uint8).reshape(n, block_bytes)
        halves = np.concatenate([EDGE_HALVES, random_halves(rng, n - len(EDGE_HALVES))]).astype(np.uint16)
        return halves.view(np.uint8).reshape(n, block_bytes)
    n = 13 if block_elems == 32 else 5
    blocks = rng.integers(0, 256, (n, block_bytes), dtype=np.uint8)
    for place, offset in enumerate(HALF_OFFSETS[name]):
        halves = random_halves(rng, n)
        for i in range(n - 1):  # the last block keeps a random scale
            halves[i] = EDGE_HALVES[(i * (place + 1) + int(rng.integers(10)) * place) % len(EDGE_HALVES)]
        blocks[:, offset:offset + 2] = halves.view(np.uint8).reshape(n, 2)
    if block_elems == 256:  # 5 blocks do not reach all edges: the rest of them on further blocks of another seed
        extra = rng.integers(0, 256, (6, block_bytes), dtype=np.uint8)
        for offset in HALF_OFFSETS[name]:
            halves = np.array(EDGE_HALVES[4:], dtype=np.uint16)
            rng.shuffle(halves)
            extra[:, offset:offset + 2] = halves[:6].view(np.uint8).reshape(6, 2)
        blocks = np.concatenate([blocks, extra])
    return blocks


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "dequant.bin"
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    rng = np.random.default_rng(20250612)
    out = [b"RDQ1", struct.pack("<I", len(TYPES))]
    for name in TYPES:
        quant_type = gguf.GGMLQuantizationType[name]
        blocks = make_blocks(name, rng)
        values = np.ascontiguousarray(gguf.dequantize(blocks.reshape(1, -1), quant_type), dtype=np.float32).ravel()
        out.append(struct.pack("<IIII", quant_type.value, len(blocks), blocks.nbytes, values.size))
        out += [blocks.tobytes(), values.tobytes()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(out))
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
