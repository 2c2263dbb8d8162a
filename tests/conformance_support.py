"""Conformance directories of any shape: a random checkpoint in the published format, documents, a
question, and what the plain reference (`tests.msa_reference`) computes for them.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.msa_reference import TAIL, Answer, Reference, question_input

TINY = Path(__file__).parent / "data" / "conformance-tiny"
CLOSEST = 1e-4  # scores (and logits) nearer to each other than this could change places by rounding
_GREEDY = 12


def make_conformance(
    folder: Path,
    *,
    layers: int = 4,
    hidden: int = 64,
    heads: int = 4,
    groups: int = 2,
    head_width: int = 16,
    pool: int = 8,
    top_k: int = 3,
    router_layers: str = "2,3",
    documents: int = 12,
    seed: int = 0,
    tied: bool = True,
    **msa: Any,
) -> Path:
    """Write a directory in the layout of `TINY` and return it. `msa` overrides `msa_config`.

    Raises ValueError where the seed gives a choice so close that rounding could decide it (scores
    of the chosen documents and the next, likeliest tokens): take another seed.
    """
    config: dict[str, Any] = json.loads((TINY / "checkpoint" / "config.json").read_text())
    config |= {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "head_dim": head_width,
        "tie_word_embeddings": tied,
    }
    config["msa_config"] |= {
        "pooling_kernel_size": pool,
        "top_k_docs": top_k,
        "router_layer_idx": router_layers,
        **msa,
    }
    checkpoint = folder / "checkpoint"
    shutil.copytree(TINY / "checkpoint", checkpoint)
    (checkpoint / "config.json").write_text(json.dumps(config, indent=2))
    weights = _Weights(config, seed).all()
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    _expect(folder, prose(documents, seed))
    return folder


class _Weights:
    """Random weights by their published names; large enough that attention and routing prefer
    something."""

    def __init__(self, config: dict[str, Any], seed: int) -> None:
        self._config = config
        self._random = torch.Generator().manual_seed(seed)

    def all(self) -> dict[str, Tensor]:
        config, msa = self._config, self._config["msa_config"]
        vocabulary, hidden = config["vocab_size"], config["hidden_size"]
        weights = {
            "model.embed_tokens.weight": self._linear(vocabulary, hidden, 0.3 * math.sqrt(hidden)),
            "model.norm.weight": self._norm(hidden),
            "temperature": torch.tensor(0.1),
        }
        if not config["tie_word_embeddings"]:
            weights["lm_head.weight"] = self._linear(vocabulary, hidden)
        chosen = msa["router_layer_idx"]
        for layer in range(config["num_hidden_layers"]):
            routes = chosen == "all" or str(layer) in chosen.split(",")
            own = self._layer(routes and msa["decouple_router"])
            weights |= {f"model.layers.{layer}.{name}.weight": each for name, each in own.items()}
        return weights

    def _layer(self, routers: bool) -> dict[str, Tensor]:
        config = self._config
        hidden, inner, width = (
            config[name] for name in ("hidden_size", "intermediate_size", "head_dim")
        )
        q, kv = config["num_attention_heads"] * width, config["num_key_value_heads"] * width
        own = {
            "input_layernorm": self._norm(hidden),
            "post_attention_layernorm": self._norm(hidden),
            "mlp.gate_proj": self._linear(inner, hidden),
            "mlp.up_proj": self._linear(inner, hidden),
            "mlp.down_proj": self._linear(hidden, inner),
            "self_attn.q_proj": self._linear(q, hidden),
            "self_attn.k_proj": self._linear(kv, hidden),
            "self_attn.v_proj": self._linear(kv, hidden),
            "self_attn.o_proj": self._linear(hidden, q),
            "self_attn.q_norm": self._norm(width),
            "self_attn.k_norm": self._norm(width),
        }
        if routers:
            own["self_attn.router_q_proj.0"] = self._linear(q, hidden)
            own["self_attn.router_k_proj.0"] = self._linear(kv, hidden)
        return own

    def _linear(self, rows: int, columns: int, gain: float = 1.0) -> Tensor:
        return torch.randn(rows, columns, generator=self._random) * (gain / math.sqrt(columns))

    def _norm(self, size: int) -> Tensor:
        return 1 + 0.2 * torch.randn(size, generator=self._random)


def prose(count: int, seed: int) -> list[str]:
    """Real prose cut anew: documents of 3 to 900 characters."""
    prose = " ".join(json.loads((TINY / "expected.json").read_text())["documents"])
    pick = random.Random(seed)
    texts = []
    for _ in range(count):
        size = int(3 * 300 ** pick.random())
        start = pick.randrange(len(prose) - size)
        texts.append(prose[start : start + size].strip() or "Nothing.")
    return texts


def _expect(folder: Path, texts: list[str]) -> None:
    """Write what the reference computes."""
    reference = Reference(folder / "checkpoint")
    for number, text in enumerate(texts):
        reference.remember(text, number)
    words = texts[len(texts) // 2].split()
    question = f"{' '.join(words[:12])}?"
    tokens = reference.tokens(question_input(question))
    routed = len(tokens) - len(reference.tokens(TAIL))
    answer = reference.question(tokens, routed)
    greedy = reference.continuation(tokens, routed, _GREEDY)
    _require_clear(reference, answer, reference.question([*tokens, *greedy], routed), len(tokens))
    save_file(_tensors(reference, answer, tokens, routed), folder / "expected.safetensors")
    body = {
        "documents": texts,
        "question": question,
        "question_input": question_input(question),
        "top_k": reference.settings.top_k,
        "route": {
            str(layer): {"topk_doc_ids": route, "score": answer.scores[layer][route].tolist()}
            for layer, route in answer.routes.items()
        },
        "greedy_tokens": greedy,
    }
    (folder / "expected.json").write_text(json.dumps(body, indent=1))


def _tensors(
    reference: Reference, answer: Answer, tokens: list[int], routed: int
) -> dict[str, Tensor]:
    first, tail = 3 + reference.settings.top_k, len(tokens) - routed
    some = reference.settings.router_layers[0]
    chunks = [len(document[some].key) for document in reference.memory]
    found = {
        "memory.chunk_document": torch.arange(len(chunks)).repeat_interleave(torch.tensor(chunks)),
        "query.input_ids": torch.tensor(tokens),
        "query.doc_ids": torch.tensor([0] * routed + [-2] * (tail - 1) + [-1]),
        "query.position_ids": torch.arange(first, first + len(tokens)),
        "query.logits": answer.logits,
    }
    for layer in reference.settings.router_layers:
        for name in ("key", "value", "routing_key"):
            blocks = [getattr(document[layer], name) for document in reference.memory]
            found[f"memory.{layer}.{name}"] = torch.cat(blocks)
    for layer, pair in reference.prefix.local.items():
        for name, each in zip(("key", "value"), pair, strict=True):
            found[f"prefix.{layer}.{name}"] = each
    return {name: tensor.contiguous() for name, tensor in found.items()}


def _require_clear(reference: Reference, answer: Answer, said: Answer, asked: int) -> None:
    """Every choice that is expected must be one that rounding cannot change."""
    for layer, scores in answer.scores.items():
        best = scores.sort(descending=True).values[: reference.settings.top_k + 1]
        gap = float(-best.diff().max()) if len(best) > 1 else CLOSEST
        if gap < CLOSEST:
            raise ValueError(f"layer {layer}: scores {gap:.1e} apart; take another seed")
    likeliest = said.logits[asked - 1 : -1].topk(2).values
    gap = float((likeliest[:, 0] - likeliest[:, 1]).min())
    if gap < CLOSEST:
        raise ValueError(f"likeliest tokens {gap:.1e} apart; take another seed")
