"""Tunes how the small model asks: routing queries only, against keys that stay as they are.

A bank's own questions may teach which words and meanings lead to its documents. What documents are
encoded by is not touched, so a bank need not be encoded anew, and neither is what reads and points:
what the towers say of texts is computed once. Knows passages, questions and one checkpoint; nothing
of banks. Legend as in `layers`; N documents.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from memsvc_router.api import ROUTING, DocumentText
from memsvc_router.checkpoint import load_checkpoint
from memsvc_router.encoding import encode_documents
from memsvc_router.network import MemoryNetwork
from memsvc_router.texts import Batch, PathInput, Piece, pad, path_input, tokenize, window_size
from memsvc_router.training.losses import routing_loss
from memsvc_router.training.rows import Passage, Question, TrainingSet

_ASKING = ("query.", "token_gate.", "read_gate", "read_weight", "share.")  # of the router
_POOL = 4096  # documents that compete in one step
_REMEMBERED = 500_000  # tokens of paths whose states are kept, 768 bytes each
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class QuestionSideOptions:
    """questions: in a step; rate: AdamW's peak; temperature: of the routing loss."""

    questions: int = 32
    rate: float = 3e-4
    temperature: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Asked:
    """Paths [B, T] with their final states [B, T, E], and the documents that compete: chunks' keys
    [C, L·R], the document of each chunk int64 [C], positive and ignored bool [B, N]."""

    ids: Tensor
    mask: Tensor
    types: Tensor
    final: Tensor
    keys: Tensor
    document: Tensor
    positive: Tensor
    ignored: Tensor

    @property
    def tokens(self) -> int:
        """Of the paths."""
        return int(self.mask.sum())

    def to(self, device: torch.device | str) -> Asked:
        """The same on another device."""
        return Asked(**{name: value.to(device) for name, value in vars(self).items()})


class _Asking(nn.Module):
    """The network with all but the asking parts of its router held still."""

    def __init__(self, network: MemoryNetwork, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(_asks(name))

    def forward(self, batch: Asked) -> Mapping[str, Tensor]:
        """`loss`, and how often the best document is a right one (`first`)."""
        queries = self.network.queries(
            batch.ids, batch.mask, batch.types, batch.final.float()
        ).flatten(1)
        by_chunk = queries @ batch.keys.float().T
        scores = by_chunk.new_full(batch.positive.shape, -torch.inf).scatter_reduce(
            1, batch.document.expand(len(by_chunk), -1), by_chunk, "amax", include_self=False
        )
        loss = routing_loss(scores, batch.positive, batch.ignored, self.temperature)
        best = scores.detach().masked_fill(batch.ignored, -torch.inf).argmax(1, keepdim=True)
        return {"loss": loss, "first": batch.positive.gather(1, best).float().mean()}


@dataclass
class _Document:
    """A passage as paths read it, and the rows of its chunks among all keys."""

    title: Piece
    text: Piece
    rows: slice


class QuestionSide:
    """A `Task` of training.loop. Passages compete with those of their own `dataset` alone: a text
    may stand in several, whole in one and cut in another. `avoided`: passage ids, by question id,
    that were found and of no use: they compete whenever their question is asked.

    Raises ValueError where the set holds no question to learn routing from.
    """

    def __init__(
        self,
        base: Path,
        data: TrainingSet,
        options: QuestionSideOptions,
        avoided: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._base, self._options = base, options
        network, self._tokenizer, _ = load_checkpoint(base, torch.float32)
        self._path_tokens = network.config.path_tokens
        self._width = int(network.config.backbone["hidden_size"])
        self._remembered: dict[tuple[str, int], Tensor] = {}
        self._room = _REMEMBERED
        self._questions = [one for one in data.questions if one.router_ok]
        if not self._questions:
            raise ValueError("no question to learn routing from: expected one with router_ok")
        self._number, self._passages = data.index(), data.passages
        self._avoided = dict(avoided or {})
        self._documents, self._keys = self._encoded(network, data.passages)
        self._module = _Asking(network, options.temperature)

    @property
    def module(self) -> nn.Module:
        """See `Task`."""
        return self._module

    def groups(self) -> list[dict[str, Any]]:
        """See `Task`."""
        trained = [one for one in self._module.parameters() if one.requires_grad]
        return [{"params": trained, "lr": self._options.rate}]

    def batch(self, step: int, rank: int, world: int) -> Asked:
        """See `Task`: questions drawn without repetition until all were asked."""
        count = self._options.questions
        first = (step * world + rank) * count
        asked = [self._drawn(first + at) for at in range(count)]
        draw = np.random.default_rng([self._options.seed, step, rank])
        steps = [int(draw.integers(len(one.evidence))) if one.every else 0 for one in asked]
        paths = [self._path(one, read) for one, read in zip(asked, steps, strict=True)]
        competing = self._competing(asked, draw)
        place = {number: at for at, number in enumerate(competing)}
        positive = torch.zeros(count, len(competing), dtype=torch.bool)
        kinds = [self._passages[number].dataset for number in competing]
        own = [self._passages[self._number[one.evidence[0]]].dataset for one in asked]
        ignored = torch.tensor([[kind != mine for kind in kinds] for mine in own])
        for row, (question, read) in enumerate(zip(asked, steps, strict=True)):
            for at, passage in enumerate(question.evidence):
                wanted = at == read or not question.every
                (positive if wanted else ignored)[row, place[self._number[passage]]] = True
        rows = [self._documents[number].rows for number in competing]
        batch = pad([one.ids for one in paths], [one.types for one in paths])
        names = [(one.id, read) for one, read in zip(asked, steps, strict=True)]
        return Asked(
            batch.ids,
            batch.mask,
            batch.types,
            self._states(names, batch),
            torch.cat([self._keys[own] for own in rows]),
            torch.cat([torch.full((own.stop - own.start,), at) for at, own in enumerate(rows)]),
            positive,
            ignored,
        )

    def export(self, folder: Path) -> None:
        """See `Task`: the base, byte for byte but for what asks."""
        weights = load_file(self._base / _WEIGHTS)
        for name, value in self._module.network.state_dict().items():
            if _asks(name):
                weights[name] = value.detach().to("cpu", weights[name].dtype).contiguous()
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "tokenizer.json"):
            shutil.copyfile(self._base / name, folder / name)
        part = folder / f"{_WEIGHTS}.tmp"
        save_file(weights, part)
        part.replace(folder / _WEIGHTS)

    def _drawn(self, number: int) -> Question:
        """The question at a place in the endless row of shuffled rounds."""
        turn, place = divmod(number, len(self._questions))
        order = np.random.default_rng([self._options.seed, turn]).permutation(len(self._questions))
        return self._questions[int(order[place])]

    def _path(self, question: Question, read: int) -> PathInput:
        """The question after the first `read` documents of its chain."""
        most = window_size(read, self._path_tokens)
        texts = [self._documents[self._number[one]] for one in question.evidence[:read]]
        windows = [(one.text, 0, min(len(one.text.ids), most), one.title) for one in texts]
        asked = tokenize(self._tokenizer, [question.question])[0]
        return path_input(asked, windows, self._path_tokens)

    def _states(self, names: Sequence[tuple[str, int]], batch: Batch) -> Tensor:
        """Final states fp16 [B, T, E] of paths, remembered by question and documents read."""
        new = [at for at, name in enumerate(names) if name not in self._remembered]
        states = torch.empty(0)
        if new:
            device = next(self._module.parameters()).device
            given = [one[new].to(device) for one in (batch.ids, batch.mask, batch.types)]
            with torch.no_grad():
                states = self._module.network.read(*given).to("cpu", torch.float16)
        found = torch.zeros(*batch.ids.shape, self._width, dtype=torch.float16)
        for at, name in enumerate(names):
            tokens = int(batch.mask[at].sum())
            if at in new:
                own = states[new.index(at), :tokens].clone()
                if self._room >= tokens:
                    self._room -= tokens
                    self._remembered[name] = own
            else:
                own = self._remembered[name]
            found[at, :tokens] = own
        return found

    def _competing(self, asked: Sequence[Question], draw: np.random.Generator) -> list[int]:
        """The batch's own documents and, at random, others; in ascending order."""
        named = [name for one in asked for name in (*one.evidence, *self._avoided.get(one.id, ()))]
        own = {self._number[name] for name in named if name in self._number}
        total = len(self._documents)
        others = draw.choice(total, min(_POOL, total), replace=False)
        return sorted(own.union(others.tolist()))

    def _encoded(
        self, network: MemoryNetwork, passages: Sequence[Passage]
    ) -> tuple[list[_Document], Tensor]:
        titles = tokenize(self._tokenizer, [one.title for one in passages])
        texts = tokenize(self._tokenizer, [one.text for one in passages])
        blocks = encode_documents(
            network, self._tokenizer, [DocumentText(one.title, one.text) for one in passages]
        )
        documents, keys, at = [], [], 0
        for title, text, block in zip(titles, texts, blocks, strict=True):
            key = block.tensors[ROUTING]
            documents.append(_Document(title, text, slice(at, at + len(key))))
            keys.append(key.reshape(len(key), -1))
            at += len(key)
        return documents, torch.from_numpy(np.concatenate(keys))


def _asks(name: str) -> bool:
    """Whether a weight of the network only says how to ask."""
    return name.removeprefix("router.").startswith(_ASKING) and name.startswith("router.")
