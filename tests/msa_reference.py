"""Memory Sparse Attention (EverMind) on a Qwen3 checkpoint, plain and slow: what right means.

Written from the description of the method (MSA §1-§4, §6) and straight from the weights, in fp32,
one document and one attention head at a time. It shares nothing with the engine that it judges.
Legend: T tokens, V vocabulary, E hidden, H query heads, G key/value heads, D head width, C chunks,
M routed tokens, P pool size.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

HEAD = "<|im_start|>user\n"
ASK = "\nPlease answer the question based on the above historical document information\n\n"
RETURN = "\nPlease return all documents related to the question\n"
TAIL = "<|im_end|>\n<|im_start|>"


def question_input(question: str) -> str:
    """The prompt of the first round."""
    return f"{ASK}{question}{RETURN}{TAIL}"


@dataclass
class Settings:
    """What a config.json of the published format says."""

    heads: int
    groups: int
    width: int
    layers: int
    theta: float
    eps: float
    pool: int
    top_k: int
    router_layers: list[int]
    decoupled: bool
    cosine: bool
    score_scale: float
    reduce: dict[str, str]  # head, query, chunk: mean | max | last

    @staticmethod
    def read(folder: Path) -> Settings:
        body: dict[str, Any] = json.loads((folder / "config.json").read_text())
        msa = body["msa_config"]
        layers = int(body["num_hidden_layers"])
        chosen = msa["router_layer_idx"]
        routers = range(layers) if chosen == "all" else map(int, chosen.split(","))
        cosine, decoupled = msa["aux_loss_method"] == "INFONCE", bool(msa["decouple_router"])
        return Settings(
            heads=body["num_attention_heads"],
            groups=body["num_key_value_heads"],
            width=body["head_dim"],
            layers=layers,
            theta=float(body["rope_theta"]),
            eps=float(body["rms_norm_eps"]),
            pool=msa["pooling_kernel_size"],
            top_k=msa["top_k_docs"],
            router_layers=sorted(routers),
            decoupled=decoupled,
            cosine=cosine,
            # The method's description leaves one case open: cosine scores of attention's own
            # queries and keys. Taken here as the engine has it; it moves no route.
            score_scale=1.0 if cosine and decoupled else body["head_dim"] ** -0.5,
            reduce={part: msa[f"{part}_reduce_method"] for part in ("head", "query", "chunk")},
        )


@dataclass
class Block:
    """What memory keeps of one document in one layer: [C, G, D] each, routing keys as scored."""

    key: Tensor
    value: Tensor
    routing_key: Tensor


@dataclass
class Answer:
    """What a question's forward gives. `scores` [documents] and `routes` (best first) by layer."""

    logits: Tensor  # [T, V]
    scores: dict[int, Tensor]
    routes: dict[int, list[int]]


class Reference:
    """A checkpoint in the published format, and a memory of some documents."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings.read(folder)
        self.weights = {n: w.float() for n, w in load_file(folder / "model.safetensors").items()}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.memory: list[dict[int, Block]] = []  # by document, then by router layer
        head = self.tokens(HEAD)
        self.prefix = self._forward(head, range(len(head)), _Causal(self))

    def tokens(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def remember(self, text: str, number: int) -> dict[int, Block]:
        """Encode one document alone, positions from 0, and keep it."""
        tokens = self.tokens(f"<|im_start|>[{number}]. {text}[{number}]<|im_end|>")
        encoding = _Encoding(self)
        self._forward(tokens, range(len(tokens)), encoding)
        self.memory.append(encoding.blocks)
        return encoding.blocks

    def question(self, tokens: Sequence[int], routed: int) -> Answer:
        """One forward of a question whose first `routed` tokens choose the documents."""
        first = 3 + self.settings.top_k
        asking = _Asking(self, routed)
        states = self._forward(tokens, range(first, first + len(tokens)), asking).states
        return Answer(self._logits(states), asking.scores, asking.routes)

    def continuation(self, tokens: Sequence[int], routed: int, count: int) -> list[int]:
        """The likeliest `count` tokens to follow. The selection stays that of the question: tokens
        that follow are not routed, and change nothing of what those before them see."""
        written: list[int] = []
        while len(written) < count:
            logits = self.question([*tokens, *written], routed).logits
            written.append(int(logits[-1].argmax()))
        return written

    def _forward(self, tokens: Sequence[int], positions: range, mode: _Causal) -> _Causal:
        """A Qwen3 forward in which `mode` does the attention; leaves `mode.states` [T, E]."""
        x = self.weights["model.embed_tokens.weight"][torch.tensor(list(tokens))]
        for layer in range(self.settings.layers):
            hidden = self._norm(x, f"model.layers.{layer}.input_layernorm")
            x = x + self._attention(layer, hidden, positions, mode)
            hidden = self._norm(x, f"model.layers.{layer}.post_attention_layernorm")
            mlp = f"model.layers.{layer}.mlp"
            gate = torch.nn.functional.silu(self._linear(hidden, f"{mlp}.gate_proj"))
            x = x + self._linear(gate * self._linear(hidden, f"{mlp}.up_proj"), f"{mlp}.down_proj")
        mode.states = self._norm(x, "model.norm")
        return mode

    def _attention(self, layer: int, hidden: Tensor, positions: range, mode: _Causal) -> Tensor:
        name, s = f"model.layers.{layer}.self_attn", self.settings
        q = self._linear(hidden, f"{name}.q_proj").view(-1, s.heads, s.width)
        k = self._linear(hidden, f"{name}.k_proj").view(-1, s.groups, s.width)
        v = self._linear(hidden, f"{name}.v_proj").view(-1, s.groups, s.width)
        q = self._rope(self._norm(q, f"{name}.q_norm"), positions)
        k = self._rope(self._norm(k, f"{name}.k_norm"), positions)
        routing = (q, k)
        if s.decoupled and layer in s.router_layers:
            routing = (
                self._linear(hidden, f"{name}.router_q_proj.0").view(-1, s.heads, s.width),
                self._linear(hidden, f"{name}.router_k_proj.0").view(-1, s.groups, s.width),
            )
        seen = mode.see(layer, k, v, *routing)
        return self._linear(self._attend(q, k, v, *seen).flatten(1), f"{name}.o_proj")

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, before_k: Tensor, before_v: Tensor
    ) -> Tensor:
        """q [T, H, D] sees all of `before` [N, G, D] and k, v [T, G, D] causally."""
        s, count, before = self.settings, len(q), len(before_k)
        keys, values = torch.cat([before_k, k]), torch.cat([before_v, v])
        hidden = torch.ones(count, before + count, dtype=torch.bool).triu(before + 1)
        heads = []
        for head in range(s.heads):
            group = head // (s.heads // s.groups)
            scores = q[:, head] @ keys[:, group].T * s.width**-0.5
            weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
            heads.append(weights @ values[:, group])
        return torch.stack(heads, 1)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.weights[f"{name}.weight"].T

    def _norm(self, x: Tensor, name: str) -> Tensor:
        mean = x.pow(2).mean(-1, keepdim=True)
        return x * torch.rsqrt(mean + self.settings.eps) * self.weights[f"{name}.weight"]

    def _rope(self, x: Tensor, positions: range) -> Tensor:
        """x [T, heads, D]: the pair (i, i + D/2) is turned by position * theta^(-2i/D)."""
        half = self.settings.width // 2
        turns = self.settings.theta ** (-torch.arange(half, dtype=torch.float32) / half)
        angles = torch.tensor(list(positions), dtype=torch.float32)[:, None, None] * turns
        cos, sin = angles.cos(), angles.sin()
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def _logits(self, states: Tensor) -> Tensor:
        tied = self.weights["model.embed_tokens.weight"]
        return states @ self.weights.get("lm_head.weight", tied).T


class _Causal:
    """Attention that sees nothing but the tokens themselves; keeps their keys and values."""

    def __init__(self, reference: Reference) -> None:
        self.reference, self.settings = reference, reference.settings
        self.local: dict[int, tuple[Tensor, Tensor]] = {}
        self.states = torch.empty(0)

    def see(
        self, layer: int, k: Tensor, v: Tensor, rq: Tensor, rk: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keys and values [N, G, D] that stand before the tokens in this layer."""
        del rq, rk
        self.local[layer] = (k, v)
        return k[:0], v[:0]


class _Encoding(_Causal):
    """A document alone: the router layers leave a block each."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference)
        self.blocks: dict[int, Block] = {}

    def see(
        self, layer: int, k: Tensor, v: Tensor, rq: Tensor, rk: Tensor
    ) -> tuple[Tensor, Tensor]:
        if layer in self.settings.router_layers:
            routing = self._pool(rk)
            if self.settings.cosine:
                routing = _unit(routing)
            self.blocks[layer] = Block(self._pool(k), self._pool(v), routing)
        return super().see(layer, k, v, rq, rk)

    def _pool(self, x: Tensor) -> Tensor:
        return torch.stack([run.mean(0) for run in x.split(self.settings.pool)])


class _Asking(_Causal):
    """A question: every layer sees the prefix, router layers also the documents they choose."""

    def __init__(self, reference: Reference, routed: int) -> None:
        super().__init__(reference)
        self.routed = routed
        self.scores: dict[int, Tensor] = {}
        self.routes: dict[int, list[int]] = {}

    def see(
        self, layer: int, k: Tensor, v: Tensor, rq: Tensor, rk: Tensor
    ) -> tuple[Tensor, Tensor]:
        del k, v, rk
        keys, values = ([each] for each in self.reference.prefix.local[layer])
        if layer in self.settings.router_layers and self.reference.memory:
            memory = [blocks[layer] for blocks in self.reference.memory]
            self.scores[layer] = torch.stack(
                [self._score(rq[: self.routed], block.routing_key) for block in memory]
            )
            order = self.scores[layer].argsort(descending=True, stable=True)
            self.routes[layer] = order[: self.settings.top_k].tolist()
            for number in sorted(self.routes[layer]):
                keys.append(memory[number].key)
                values.append(memory[number].value)
        return torch.cat(keys), torch.cat(values)

    def _score(self, queries: Tensor, keys: Tensor) -> Tensor:
        """One document's score: queries [M, H, D] against its routing keys [C, G, D]."""
        s = self.settings
        if s.cosine:
            queries = _unit(queries)
        heads = []
        for head in range(s.heads):
            group = head // (s.heads // s.groups)
            heads.append(queries[:, head] @ keys[:, group].T * s.score_scale)
        by_token = _reduce(torch.stack(heads), s.reduce["head"])  # [M, C]
        by_chunk = _reduce(by_token, s.reduce["query"])  # [C]
        return _reduce(by_chunk, s.reduce["chunk"])


def _unit(x: Tensor) -> Tensor:
    return x / x.pow(2).sum(-1, keepdim=True).sqrt()


def _reduce(x: Tensor, how: str) -> Tensor:
    """Over the first axis."""
    if how == "mean":
        return x.mean(0)
    return x.amax(0) if how == "max" else x[-1]
