#!/usr/bin/env python3
"""Tiny random models of every architecture, and their golden logits by transformers' own model classes in FP64.

    scripts/make_tiny_gguf.py            writes tests/golden/tiny_*.gguf and tests/golden/logits_tiny_*.bin

Deterministic. Each file is a whole model of 2 or 3 layers with a byte-level vocabulary of 299 tokens (256 bytes, 40
merges, end-of-text and ChatML's two), so that it also serves end to end. Sizes are pairwise different and odd where they
may be; weights are large enough that attention is far from uniform, so that a wrong rotation or window shows.

Needs: numpy, torch, transformers, gguf.
"""

import collections
import pathlib

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter, RopeScalingType, TokenType
from gguf.quants import dequantize, quantize
from make_logits_golden import write_golden
from transformers import (Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, MistralConfig,
                          MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

GOLDEN = pathlib.Path(__file__).parent.parent / "tests/golden"
N_POSITIONS, N_MERGES, CONTEXT = 61, 40, 1024
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
          "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
SAMPLE = ("the harbour and the tide and the lamp on the quay: the clerk wrote that the ship had gone in the morning, and "
          "that there was nothing in the ledger about the other one, neither then nor on another morning in the winter")


def byte_alphabet():
    """GPT-2's printable stand-in for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for b in range(256):
        table[b] = chr(b) if b in plain else chr(256 + extra)
        extra += b not in plain
    return table


def train_merges():
    words = [tuple(byte_alphabet()[b] for b in w.encode()) for w in SAMPLE.replace(" ", "\n ").split("\n")]
    merges = []
    while len(merges) < N_MERGES:
        counts = collections.Counter(pair for w in words for pair in zip(w, w[1:]))
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        joined = []
        for w in words:
            out, i = [], 0
            while i < len(w):
                two = w[i : i + 2] == best
                out.append(w[i] + w[i + 1] if two else w[i])
                i += 2 if two else 1
            joined.append(tuple(out))
        words = joined
    return merges


def write_vocabulary(writer, pre):
    merges = train_merges()
    tokens = [*byte_alphabet().values(), *(a + b for a, b in merges), *SPECIALS]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.NORMAL] * (len(tokens) - len(SPECIALS)) + [TokenType.CONTROL] * len(SPECIALS))
    writer.add_token_merges([f"{a} {b}" for a, b in merges])
    writer.add_bos_token_id(len(tokens) - 3)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_pad_token_id(len(tokens) - 3)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)


N_VOCAB = 256 + N_MERGES + len(SPECIALS)

# transformers' parameter (after model.layers.N.) -> the file's tensor (after blk.N.).
LAYER_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight", "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.weight": "attn_k.weight", "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.weight": "attn_v.weight", "self_attn.v_proj.bias": "attn_v.bias",
    "self_attn.o_proj.weight": "attn_output.weight", "self_attn.o_proj.bias": "attn_output.bias",
    "self_attn.q_norm.weight": "attn_q_norm.weight", "self_attn.k_norm.weight": "attn_k_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight", "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
GEMMA_NAMES = LAYER_NAMES | {
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "pre_feedforward_layernorm.weight": "ffn_norm.weight",
    "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
}
OUTER_NAMES = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
               "lm_head.weight": "output.weight"}


def gguf_name(name, layer_names):
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{layer_names[rest]}"


def permute(x, n_heads):
    """The llama converter's order of Q and K rows: pair (i, i + n/2) becomes adjacent."""
    return x.reshape(n_heads, 2, x.shape[0] // n_heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def random_parameter(rng, name, shape):
    if len(shape) == 1:
        return (0.3 * rng.standard_normal(shape) + (0.0 if name.endswith("bias") else 1.0)).astype(np.float32)
    gain = {"q_proj": 2.0, "k_proj": 2.0, "embed_tokens": np.sqrt(shape[1])}.get(name.split(".")[-2], 1.0)
    return (gain / np.sqrt(shape[1]) * rng.standard_normal(shape)).astype(np.float32)


def make(name, arch, pre, model, keys, types, seed, rope_freqs=None):
    """types: the tensor type by the last part of a tensor's name; "" for the rest. Q8_0 needs rows of 32."""
    rng = np.random.default_rng(seed)
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    gemma = arch == "gemma3"
    writer = GGUFWriter(GOLDEN / f"tiny_{name}.gguf", arch)
    writer.add_name(f"tiny {name}, random")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if head_dim * config.num_attention_heads != config.hidden_size:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    keys(writer)
    write_vocabulary(writer, pre)
    if rope_freqs is not None:
        writer.add_tensor("rope_freqs.weight", rope_freqs.astype(np.float32))

    state = model.state_dict()
    for hf_name, old in state.items():
        if hf_name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        to_name = gguf_name(hf_name, GEMMA_NAMES if gemma else LAYER_NAMES)
        x = random_parameter(rng, hf_name, tuple(old.shape))
        kind = Type.F32 if x.ndim == 1 else types.get(to_name.split(".")[-2], types[""])
        x = dequantize(quantize(x, kind), kind).astype(np.float32)  # what the file can hold
        rows = x
        if arch == "llama" and ("q_proj" in hf_name or "k_proj" in hf_name):
            rows = permute(x, config.num_attention_heads if "q_proj" in hf_name else config.num_key_value_heads)
        writer.add_tensor(to_name, quantize(np.ascontiguousarray(rows), kind), raw_dtype=kind)
        if gemma and "norm" in hf_name:
            x = x.astype(np.float64) - 1  # the file's norms include the 1 that Gemma's code adds
        state[hf_name] = torch.from_numpy(np.asarray(x, np.float64))
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.double().load_state_dict(state)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    ids = rng.integers(0, N_VOCAB, N_POSITIONS).tolist()
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([ids])).logits[0].double().numpy()
    top = np.argsort(-logits, axis=1, kind="stable")[:, :8]
    lse = torch.logsumexp(torch.tensor(logits), dim=-1).numpy()
    write_golden(GOLDEN / f"logits_tiny_{name}.bin", N_VOCAB, ids, np.arange(N_VOCAB), logits, top, lse)
    print(f"tiny_{name}: {(GOLDEN / f'tiny_{name}.gguf').stat().st_size} bytes, logits std {logits.std():.2f}")


def main():
    common = dict(vocab_size=N_VOCAB, attn_implementation="eager")

    llama3 = LlamaForCausalLM(LlamaConfig(
        **common, hidden_size=48, num_attention_heads=3, num_key_value_heads=1, intermediate_size=96,
        num_hidden_layers=3, rms_norm_eps=1e-5, tie_word_embeddings=True, max_position_embeddings=CONTEXT,
        rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=128)))
    plain = 500000.0 ** -(np.arange(0, 16, 2) / 16)
    freqs = plain / llama3.model.rotary_emb.inv_freq.numpy()
    assert freqs[0] == 1 and 1 < freqs[3] and freqs[-1] > 7.99, freqs
    make("llama3", "llama", "llama-bpe", llama3, lambda w: (w.add_rope_freq_base(500000.0),
                                                            w.add_rope_dimension_count(16)),
         {"": Type.F16, "ffn_down": Type.Q8_0, "attn_k": Type.F32}, 1, freqs)

    llama2 = LlamaForCausalLM(LlamaConfig(
        **common, hidden_size=60, num_attention_heads=5, num_key_value_heads=5, intermediate_size=88,
        num_hidden_layers=2, rms_norm_eps=1e-5, attention_bias=True, tie_word_embeddings=True, max_position_embeddings=CONTEXT,
        rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)))
    make("llama2_linear", "llama", "gpt-2", llama2, lambda w: (w.add_rope_freq_base(10000.0),
                                                               w.add_rope_dimension_count(12),
                                                               w.add_rope_scaling_type(RopeScalingType.LINEAR),
                                                               w.add_rope_scaling_factor(4.0)), {"": Type.BF16}, 2)

    nemo = MistralForCausalLM(MistralConfig(
        **common, hidden_size=64, num_attention_heads=6, num_key_value_heads=2, head_dim=16, intermediate_size=96,
        num_hidden_layers=2, rms_norm_eps=1e-5, sliding_window=None, max_position_embeddings=CONTEXT,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0)))
    make("mistral_nemo", "llama", "gpt-2", nemo, lambda w: (w.add_rope_freq_base(1000000.0),
                                                            w.add_rope_dimension_count(16)), {"": Type.Q8_0}, 3)

    mistral = MistralForCausalLM(MistralConfig(
        **common, hidden_size=32, num_attention_heads=1, num_key_value_heads=1, intermediate_size=72,
        num_hidden_layers=2, rms_norm_eps=1e-5, sliding_window=17, tie_word_embeddings=True, max_position_embeddings=CONTEXT,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0)))
    make("mistral_window", "llama", "gpt-2", mistral, lambda w: (w.add_rope_freq_base(10000.0),
                                                                 w.add_sliding_window(17)), {"": Type.F32}, 4)

    qwen2 = Qwen2ForCausalLM(Qwen2Config(
        **common, hidden_size=64, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96,
        num_hidden_layers=3, rms_norm_eps=1e-6, tie_word_embeddings=False, max_position_embeddings=CONTEXT,
        use_sliding_window=False, rope_parameters=dict(rope_type="default", rope_theta=1000000.0)))
    make("qwen2", "qwen2", "qwen2", qwen2, lambda w: w.add_rope_freq_base(1000000.0), {"": Type.Q8_0}, 5)

    qwen3 = Qwen3ForCausalLM(Qwen3Config(
        **common, hidden_size=56, num_attention_heads=7, num_key_value_heads=1, head_dim=20, intermediate_size=64,
        num_hidden_layers=2, rms_norm_eps=1e-6, tie_word_embeddings=True, max_position_embeddings=CONTEXT,
        use_sliding_window=False, rope_parameters=dict(rope_type="default", rope_theta=1000000.0)))
    make("qwen3", "qwen3", "qwen2", qwen3, lambda w: w.add_rope_freq_base(1000000.0),
         {"": Type.F16, "ffn_down": Type.Q8_0}, 6)

    gemma3 = Gemma3ForCausalLM(Gemma3TextConfig(
        **common, hidden_size=48, num_attention_heads=3, num_key_value_heads=1, head_dim=32, intermediate_size=68,
        num_hidden_layers=3, rms_norm_eps=1e-6, query_pre_attn_scalar=32, sliding_window=7, sliding_window_pattern=2,
        max_position_embeddings=CONTEXT, hidden_activation="gelu_pytorch_tanh",
        rope_parameters={"full_attention": dict(rope_type="linear", rope_theta=1000000.0, factor=8.0),
                         "sliding_attention": dict(rope_type="default", rope_theta=10000.0)}))
    assert gemma3.config.layer_types == ["sliding_attention", "full_attention", "sliding_attention"]
    make("gemma3", "gemma3", "gpt-2", gemma3,
         lambda w: (w.add_rope_freq_base(1000000.0), w.add_sliding_window(7),
                    w.add_uint32("gemma3.attention.sliding_window_pattern", 2),
                    w.add_rope_scaling_type(RopeScalingType.LINEAR), w.add_rope_scaling_factor(8.0)),
         {"": Type.F16, "attn_output": Type.Q8_0}, 7)


if __name__ == "__main__":
    main()
