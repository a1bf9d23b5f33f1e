#!/usr/bin/env python3
"""Makes tests/golden/tokenizer/*: what other tokenizers make of the test documents (tests/runtime/tokenizer/tokenizer_documents.h).

    pip install gguf tokenizers sentencepiece llama-cpp-python
    scripts/make_tokenizer_golden.py [--models DIR]

The documents are generated, the same ones here and in C++, from fragments.txt. Token ids come from
- Hugging Face `tokenizers`, for byte-level BPE: vocabulary and merges with the published pre-tokenizer (transformers'
  own GGUF conversion ignores the pre-tokenizer's name), no normaliser, user-defined tokens as added tokens;
- llama.cpp (llama-cpp-python, special=False), for SentencePiece, and as a cross-check for byte-level BPE.
Each golden file has one 64-bit hash a line, of the ids of one document.
"""
import argparse
import os
import tempfile

import gguf
import sentencepiece
from llama_cpp import Llama
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

GOLDEN = os.path.join(os.path.dirname(__file__), "..", "tests", "golden", "tokenizer")
MASK = (1 << 64) - 1
N_SMALL, N_REAL = 200, 700  # documents; the second is over 1 MB

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
ANY_CASE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def isolated(regex):
    return pre_tokenizers.Split(Regex(regex), "isolated")


# As in the models' own tokenizer.json, but for ByteLevel's spelling, which comes last.
SPLITS = {
    "gpt-2": isolated(GPT2),
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), isolated(GPT2)]),
    "qwen2": isolated(ANY_CASE + r"\p{N}" + TAIL),
    "llama-bpe": isolated(ANY_CASE + r"\p{N}{1,3}" + TAIL),
    "tekken": isolated(TEKKEN),
}
WHOLE_WORD_FIRST = {"llama-bpe", "tekken"}


# The documents; tests/runtime/tokenizer/tokenizer_documents.cc is the same in C++.
def split_mix(seed):
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def unescape(line):
    out, i = "", 0
    while i < len(line):
        if line[i] != "\\":
            out, i = out + line[i], i + 1
        elif line[i + 1] == "u":
            end = line.index("}", i)
            out, i = out + chr(int(line[i + 3:end], 16)), end + 1
        else:
            out, i = out + {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}[line[i + 1]], i + 2
    return out


SPACES = [0x20, 0x20, 0x20, 0x20, 9, 10, 10, 13, 11, 0x85, 0xA0, 0x2003, 0x3000]
DIGITS = [ord(c) for c in "0123456789"] + [0x663, 0x96B, 0xB2, 0x2167]
REPEATED = [ord(c) for c in "ab =-#/*\n\t."]


def document(number, fragments):
    rng = split_mix(number + 1)
    pick = lambda n: next(rng) % n
    out = []
    for _ in range(50):
        kind = pick(16)
        if kind < 8:
            out.append(fragments[pick(len(fragments))])
        elif kind == 8:
            out += [chr(SPACES[pick(len(SPACES))]) for _ in range(1 + pick(8))]
        elif kind == 9:
            out += [chr(DIGITS[pick(len(DIGITS))]) for _ in range(1 + pick(14))]
        elif kind == 10:
            out += [chr(0x4E00 + pick(0x51FF)) for _ in range(1 + pick(12))]
        elif kind == 11:
            out += [chr(0x600 + pick(0x100)) for _ in range(1 + pick(12))]
        elif kind == 12:
            point = pick(0x110000)
            out.append(chr(point if not 0xD800 <= point < 0xE000 else 0xFFFD))
        elif kind == 13:
            out += [chr(0x20 + pick(0x5F)) for _ in range(1 + pick(20))]
        elif kind == 14:
            out += [chr(pick(0x300)) for _ in range(1 + pick(10))]
        else:
            c = chr(REPEATED[pick(len(REPEATED))])
            out.append(c * (1 + pick(60)))
    return "".join(out)


def hash_of(numbers):
    h = 0xCBF29CE484222325  # FNV-1a, a number at a time
    for n in numbers:
        h = ((h ^ n) * 0x100000001B3) & MASK
    return h


def write_hashes(name, lists):
    with open(os.path.join(GOLDEN, name + ".hashes"), "w") as f:
        f.writelines(f"{hash_of(numbers):016x}\n" for numbers in lists)


# Byte-level BPE.
def byte_level(pre):
    return pre_tokenizers.Sequence([SPLITS[pre], pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def bpe_reference(vocab, merges, pre, user_defined):
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=pre in WHOLE_WORD_FIRST))
    tokenizer.pre_tokenizer = byte_level(pre)
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in user_defined])
    return tokenizer


def byte_symbols():
    printable = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or b >= 0xAE]
    others = [b for b in range(256) if b not in printable]
    symbols = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
    return [symbols[b] for b in range(256)]


def train_merges(documents):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = byte_level("gpt-2")
    tokenizer.train_from_iterator(documents, trainers.BpeTrainer(
        vocab_size=256 + 700, initial_alphabet=byte_symbols(), show_progress=False))
    import json
    return [tuple(m) for m in json.loads(tokenizer.to_str())["model"]["merges"]]


def small_bpe(documents):
    """One list of merges, committed; tests/runtime/tokenizer/tokenizer_documents.cc builds the same vocabulary of it."""
    merges = train_merges(documents)
    with open(os.path.join(GOLDEN, "small_merges.txt"), "w") as f:
        f.writelines(f"{a} {b}\n" for a, b in merges)
    tokens = byte_symbols() + [a + b for a, b in merges]
    # Words that no merge reaches: tokens only where a whole word is looked up first.
    tokens += ["Ġferry", "Ġisland", "Ġ水", "ĠÐ¿Ð°ÑĢÐ¾Ð¼"]
    tokens += ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<h1>"]
    vocab = {t: i for i, t in enumerate(tokens)}
    for pre, split in SPLITS.items():
        reference = bpe_reference(vocab, merges, pre, tokens[-3:])
        write_hashes(f"small_{pre}", [reference.encode(d, add_special_tokens=False).ids for d in documents])
        write_hashes(f"splits_{pre}", [[b for _, (_, b) in split.pre_tokenize_str(d)] for d in documents])


def real_bpe(path, documents):
    fields = gguf.GGUFReader(path).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents()
    tokens, kinds, pre = get("tokens"), get("token_type"), get("pre")
    merges = [tuple(m.split(" ", 1)) for m in get("merges")]
    user_defined = [t for t, kind in zip(tokens, kinds) if kind == 4]
    reference = bpe_reference({t: i for i, t in enumerate(tokens)}, merges, pre, user_defined)
    return [reference.encode(d, add_special_tokens=False).ids for d in documents]


def llama_cpp(path, documents):
    model = Llama(path, vocab_only=True, verbose=False)
    return [model.tokenize(d.encode(), add_bos=False, special=False) for d in documents]


# SentencePiece.
def small_sentencepiece(documents, fragments):
    """A vocabulary trained on the fragments, committed as lines of kind, score and text (hexadecimal UTF-8)."""
    with tempfile.TemporaryDirectory() as scratch:
        prefix = os.path.join(scratch, "small")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(f.replace("\0", " ") for f in fragments), model_prefix=prefix, model_type="bpe",
            vocab_size=1500, byte_fallback=True, character_coverage=1.0, normalization_rule_name="identity",
            remove_extra_whitespaces=False, split_by_whitespace=False, max_sentence_length=1 << 20, num_threads=1,
            user_defined_symbols=["\n", "\n\n", "▁▁", "▁▁▁▁", "<b>", "</b>"], minloglevel=2)
        model = sentencepiece.SentencePieceProcessor(model_file=prefix + ".model")
        pieces = []
        for i in range(model.get_piece_size()):
            kind = (2 if model.is_unknown(i) else 3 if model.is_control(i) else 6 if model.is_byte(i) else
                    4 if model.id_to_piece(i) in ("\n", "\n\n", "▁▁", "▁▁▁▁", "<b>", "</b>") else 1)
            text = model.id_to_piece(i)
            pieces.append((kind, model.get_score(i), text.replace("▁", " ") if kind == 4 else text))
    with open(os.path.join(GOLDEN, "small_sentencepiece.txt"), "w") as f:
        f.writelines(f"{kind} {score:.9g} {text.encode().hex()}\n" for kind, score, text in pieces)
    with tempfile.TemporaryDirectory() as scratch:
        for space_prefix in (False, True):
            path = os.path.join(scratch, "small.gguf")
            writer = gguf.GGUFWriter(path, "llama")
            writer.add_tokenizer_model("llama")
            writer.add_token_list([text for _, _, text in pieces])
            writer.add_token_scores([score for _, score, _ in pieces])
            writer.add_token_types([kind for kind, _, _ in pieces])
            writer.add_bos_token_id(1)
            writer.add_eos_token_id(2)
            writer.add_unk_token_id(0)
            writer.add_add_space_prefix(space_prefix)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
            write_hashes(f"small_sentencepiece_{'prefix' if space_prefix else 'plain'}", llama_cpp(path, documents))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--models", default=os.path.join(os.path.dirname(__file__), "..", "models"))
    models_dir = arguments.parse_args().models
    with open(os.path.join(GOLDEN, "fragments.txt"), newline="\n") as f:
        fragments = [unescape(line[:-1]) for line in f]
    documents = [document(i, fragments) for i in range(N_REAL)]
    print("real models:", sum(len(d.encode()) for d in documents), "bytes; always:",
          sum(len(d.encode()) for d in documents[:N_SMALL]))
    write_hashes("documents", [d.encode() for d in documents])
    small_bpe(documents[:N_SMALL])
    small_sentencepiece(documents[:N_SMALL], fragments)
    for name in ("smollm2-135m", "qwen2.5-coder-0.5b"):
        path = os.path.join(models_dir, name + ".gguf")
        ids = real_bpe(path, documents)
        write_hashes(name, ids)
        other = llama_cpp(path, documents)
        print(name, sum(map(len, ids)), "tokens; llama.cpp differs on documents",
              [i for i in range(N_REAL) if ids[i] != other[i]])
    write_hashes("gemma3-270m", llama_cpp(os.path.join(models_dir, "gemma3-270m.gguf"), documents))


main()
