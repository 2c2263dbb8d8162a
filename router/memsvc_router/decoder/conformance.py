"""Does this engine compute what the reference computed? Reads a conformance directory (MSA.md §7).

A directory holds `checkpoint/`, `expected.json` and `expected.safetensors`; everything is computed
in fp32 by the same code that serves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from memsvc_router.api import ROUTING, DocumentText, EncodedDocument, content_name
from memsvc_router.decoder.arrays import to_tensor
from memsvc_router.decoder.loading import load_decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.state import Feed, QuestionState
from memsvc_router.memory import ResidentMemory

BLOCKS, LOGITS, SCORES = 1e-3, 1e-4, 1e-4


@dataclass(frozen=True)
class Check:
    """One comparison. `deviation` is 0 where things must be identical and are."""

    name: str
    deviation: float
    bound: float
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the deviation is within its bound (a NaN is not)."""
        return self.deviation <= self.bound


def check(folder: Path) -> list[Check]:
    """Compare all that a directory expects.

    Raises FileNotFoundError for a missing file, ValueError for one that cannot be understood.
    """
    for name in ("expected.json", "expected.safetensors", "checkpoint"):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name}: a conformance directory needs it")
    told = json.loads((folder / "expected.json").read_text())
    tensors = load_file(folder / "expected.safetensors")
    model = DecoderMemoryModel(load_decoder(folder / "checkpoint", torch.float32))
    return list(_Comparison(model, told, tensors).checks())


class _Comparison:
    def __init__(
        self, model: DecoderMemoryModel, told: dict[str, Any], tensors: dict[str, Tensor]
    ) -> None:
        self.model, self.told, self.tensors = model, told, tensors
        self.texts = [DocumentText("", t, str(i)) for i, t in enumerate(told["documents"])]

    def checks(self) -> Iterator[Check]:
        encoded = self.model.encode(self.texts)
        yield from self._blocks(encoded)
        yield from self._prefix()
        names = [text.document_id for text in self.texts]
        memory = ResidentMemory(names, self.texts, encoded)
        state = QuestionState(self.model.runner.prefix, memory, int(self.told["top_k"]))
        yield from self._question(state)
        yield from self._routes(state)
        yield self._greedy(state)

    def _blocks(self, encoded: list[EncodedDocument]) -> Iterator[Check]:
        owner = [i for i, one in enumerate(encoded) for _ in one.tensors[ROUTING]]
        yield _same("memory.chunk_document", owner, self.tensors["memory.chunk_document"].tolist())
        for ordinal, layer in enumerate(self.model.config.router_layers):
            content = np.concatenate([one.tensors[content_name(ordinal)] for one in encoded])
            keys = np.concatenate([one.tensors[ROUTING][:, ordinal] for one in encoded])
            pair = to_tensor(content)
            found = {"key": pair[:, 0], "value": pair[:, 1], "routing_key": to_tensor(keys)}
            for name, tensor in found.items():
                full = f"memory.{layer}.{name}"
                yield _near(full, tensor, self.tensors[full], BLOCKS, relative=True)

    def _prefix(self) -> Iterator[Check]:
        for layer, pair in sorted(self.model.runner.prefix.items()):
            for name, tensor in zip(("key", "value"), pair, strict=True):
                full = f"prefix.{layer}.{name}"
                found = tensor.transpose(0, 1)
                yield _near(full, found, self.tensors[full], BLOCKS, relative=True)

    def _question(self, state: QuestionState) -> Iterator[Check]:
        ids = self.tensors["query.input_ids"].tolist()
        tokens, routing = self.model.prompts.question(self.told["question"])
        yield _same("query.input_ids", tokens, ids)
        routed = (self.tensors["query.doc_ids"] == 0).nonzero().flatten().tolist()
        yield _same("query.doc_ids", list(range(routing)), routed)
        positions = list(state.positions(len(ids)))
        yield _same("query.position_ids", positions, self.tensors["query.position_ids"].tolist())
        feed = Feed(state, ids, routed, all_tokens=True)
        self.model.run([feed])
        self.last = feed.logits[-1]
        yield _near("query.logits", feed.logits, self.tensors["query.logits"], LOGITS)

    def _routes(self, state: QuestionState) -> Iterator[Check]:
        for layer, expected in sorted(self.told["route"].items(), key=lambda item: int(item[0])):
            route = state.routes[int(layer)]
            found = route.documents[0] >= 0  # there may be fewer documents than k
            documents = route.documents[0][found].tolist()
            yield _same(f"route.{layer}", documents, expected["topk_doc_ids"])
            scores = torch.from_numpy(route.scores[0][found])
            yield _near(f"score.{layer}", scores, torch.tensor(expected["score"]), SCORES)

    def _greedy(self, state: QuestionState) -> Check:
        said = [int(self.last.argmax())]
        while len(said) < len(self.told["greedy_tokens"]):
            feed = Feed(state, [said[-1]])
            self.model.run([feed])
            said.append(int(feed.logits.argmax()))
        return _same("greedy_tokens", said, self.told["greedy_tokens"])


def _same(name: str, found: list[int], expected: list[int]) -> Check:
    """Identity of two lists; the deviation is the share that differs."""
    if len(found) != len(expected):
        return Check(name, 1.0, 0.0, f"{len(found)} values, expected {len(expected)}")
    wrong = [i for i, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1]]
    if not wrong:
        return Check(name, 0.0, 0.0)
    first = wrong[0]
    detail = f"first at {first}: {found[first]}, expected {expected[first]}"
    return Check(name, len(wrong) / len(expected), 0.0, detail)


def _near(
    name: str, found: Tensor, expected: Tensor, bound: float, relative: bool = False
) -> Check:
    """The largest difference, on demand relative to the largest expected value."""
    if found.numel() != expected.numel():
        shapes = f"{tuple(found.shape)}, expected {tuple(expected.shape)}"
        return Check(name, float("inf"), bound, shapes)
    apart = (found.reshape(expected.shape).float().cpu() - expected.float()).abs().max()
    scale = float(expected.float().abs().max()) if relative else 1.0
    return Check(name, float(apart) / max(scale, 1e-12), bound)
