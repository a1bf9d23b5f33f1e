#!/usr/bin/env python3
"""PyTorch's attention and BF16 matrix product on the same GPU, at the shapes of bench_gpu, as one JSON object.

Attention is scaled_dot_product_attention with its cuDNN and its flash backend: causal, the new tokens being the last ones of
the keys, 32 query heads on 8 key heads. Neither rotates keys or gives log-sum-exps out, so it does less than ours. Where
PyTorch or its CUDA is missing, the object is {"skipped": why}.
"""
import argparse
import json
import statistics
import sys

SHAPES = ((8192, 16384), (4096, 4096))  # new tokens, keys
N_HEADS, N_KV_HEADS, HEAD_DIM = 32, 8, 128
DENSE = 8192  # of a square product
LAYER = ((14336, 5120), (5120, 14336), (4096, 5120), (5120, 4096), (1024, 5120))  # rows, columns; 4,096 tokens
N_BATCHES, BATCH_MS = 7, 30


def skip(why):
    print(json.dumps({"skipped": why}))
    sys.exit(0)


def timed_ms(torch, call):
    """Median of batches of calls, by CUDA events."""
    def batch(n):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(n):
            call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / n
    batch(2)
    n = max(1, min(1000, int(BATCH_MS / max(batch(2), 1e-3))))
    return statistics.median(batch(n) for _ in range(N_BATCHES))


def causal_operations(n_tokens, n_keys):
    return 4 * N_HEADS * HEAD_DIM * n_tokens * (n_keys - (n_tokens - 1) / 2)


def attention_cases(torch, device):
    """cuDNN has no causal mask for more keys than queries. There it attends to all keys, and the operations count them all."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.attention.bias import causal_lower_right
    for n_tokens, n_keys in SHAPES:
        q = torch.randn(1, N_HEADS, n_tokens, HEAD_DIM, device=device, dtype=torch.bfloat16)
        k, v = (torch.randn(1, N_KV_HEADS, n_keys, HEAD_DIM, device=device, dtype=torch.bfloat16) for _ in range(2))
        lower_right = None if n_tokens == n_keys else causal_lower_right(n_tokens, n_keys)
        for name, backend in (("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
            case = {"name": f"attention/{name}/{N_HEADS}x{N_KV_HEADS}x{HEAD_DIM}/{n_tokens}@{n_keys}"}
            operations, mask = causal_operations(n_tokens, n_keys), lower_right
            if name == "cudnn" and mask is not None:
                operations, mask = 4 * N_HEADS * HEAD_DIM * n_tokens * n_keys, False
                case["note"] = "all keys"
            try:
                case["median_ms"] = attention_ms(torch, backend, sdpa_kernel, q, k, v, mask)
                case["tflops"] = operations / case["median_ms"] / 1e9
            except (RuntimeError, TypeError, AssertionError) as error:
                case["note"] = (str(error).splitlines() or [type(error).__name__])[0][:200]
            yield case


def attention_ms(torch, backend, sdpa_kernel, q, k, v, mask):
    """mask: None means causal with equal lengths, False means no mask."""
    def call():
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask if mask is not False else None, is_causal=mask is None, enable_gqa=True)
    with sdpa_kernel([backend]):
        return timed_ms(torch, call)


def matmul_cases(torch, device):
    for tokens, rows, columns in ((DENSE, DENSE, DENSE), *((4096, r, c) for r, c in LAYER)):
        x = torch.randn(tokens, columns, device=device, dtype=torch.bfloat16)
        w = torch.randn(rows, columns, device=device, dtype=torch.bfloat16)
        ms = timed_ms(torch, lambda: torch.nn.functional.linear(x, w))
        yield {"name": f"matmul/bf16/{rows}x{columns}/{tokens}", "median_ms": ms, "tflops": 2 * tokens * rows * columns / ms / 1e9}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=int, default=0)
    device = f"cuda:{parser.parse_args().device}"
    try:
        import torch
    except ImportError as error:
        skip(f"PyTorch is not there: {error}")
    if not torch.cuda.is_available():
        skip(f"PyTorch {torch.__version__} sees no CUDA device")
    try:
        matmuls = list(matmul_cases(torch, device))
        cases = matmuls + list(attention_cases(torch, device))
    except (ImportError, AttributeError) as error:
        skip(f"PyTorch {torch.__version__} is too old: {error}")
    print(json.dumps({"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "cases": cases,
                      "matmul_bf16_tflops": max(c["tflops"] for c in matmuls)}))


if __name__ == "__main__":
    main()
