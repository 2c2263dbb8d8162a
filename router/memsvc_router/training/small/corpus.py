"""The passages of a training set as the frozen encoder sees them: computed once, kept on disk.

Documents' keys do not depend on what is trained, so every step can be routed over all of them.
Knows tokens and tensors. Legend: C chunks, P parts, N passages, E hidden, L router layers, R width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from memsvc_kernels import chunk_offsets
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from memsvc_router.batching import by_length
from memsvc_router.layers import pool_states
from memsvc_router.network import MemoryNetwork
from memsvc_router.precision import compute_dtype
from memsvc_router.texts import Piece, pad, parts_of, tokenize
from memsvc_router.training.rows import Passage

_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Corpus:
    """Texts by number (`low`: in lower case), and their chunks in order.

    pooled fp16 [C, E]: mean final states; meaning [C, E]: of unit length; words
    [P, (L-1)·R]; part, passage int64 [C]: what a chunk belongs to; first int64 [N+1]: where a
    passage's chunks begin.
    """

    low: list[str]
    titles: list[Piece]
    texts: list[Piece]
    pooled: Tensor
    meaning: Tensor
    words: Tensor
    part: Tensor
    passage: Tensor
    first: Tensor

    def route(self, queries: Tensor, k: int) -> Tensor:
        """The k best chunks for each query [B, L, R], best first: int64 [B, k]."""
        with torch.no_grad():
            meaning, words = queries[:, 0], queries[:, 1:].flatten(1)
            scores = (meaning.to(self.meaning.dtype) @ self.meaning.T).float()
            scores += (words.to(self.words.dtype) @ self.words.T).float()[:, self.part]
            return scores.topk(min(k, scores.shape[1]), dim=1).indices

    def score(self, queries: Tensor, chunks: Tensor) -> Tensor:
        """Scores of given chunks [B, k] for their own query [B, L, R], fp32, differentiable."""
        meaning, words = queries[:, 0], queries[:, 1:].flatten(1)
        near, exact = self.meaning[chunks].float(), self.words[self.part[chunks]].float()
        return (near @ meaning.unsqueeze(2) + exact @ words.unsqueeze(2)).squeeze(2)

    def chunks_of(self, number: int) -> Tensor:
        """The chunks of a passage."""
        return torch.arange(int(self.first[number]), int(self.first[number + 1]))


def build_corpus(
    network: MemoryNetwork, tokenizer: Tokenizer, passages: Sequence[Passage], folder: Path
) -> Corpus:
    """Encode passages, or take their states from `folder` where the same encoder left them.

    Leaves the encoder in the precision in which it serves.
    """
    cast("nn.Module", network.encoder).to(compute_dtype())
    titles = tokenize(tokenizer, [p.title for p in passages])
    texts = tokenize(tokenizer, [p.text for p in passages])
    most = network.config.part_tokens
    parts = [(n, p) for n, t in enumerate(titles) for p in parts_of(t, texts[n], most)]
    counts = chunk_offsets([len(p.ids) for _, p in parts], network.config.pool_size)[1]
    part = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor(counts))
    passage = torch.tensor([n for n, _ in parts])[part]
    pieces = [p for _, p in parts]
    pooled = _kept(network, pieces, folder)
    first = torch.searchsorted(passage, torch.arange(len(passages) + 1))
    owner = passage.new_tensor([n for n, _ in parts])
    many = torch.bincount(owner)[owner]
    lengths = torch.tensor([len(p.ids) for p in pieces])
    tokens = torch.zeros(len(passages), dtype=torch.long).index_add(0, owner, lengths)[owner]
    words = _words(network, pieces, tokens)
    meaning = network.router.keys(pooled, words[part][:, :0], many[part])[:, 0].to(compute_dtype())
    low = [p.text.lower() for p in passages]
    return Corpus(low, titles, texts, pooled, meaning, words, part, passage, first)


def _kept(network: MemoryNetwork, parts: Sequence[Piece], folder: Path) -> Tensor:
    """Pooled states fp16 [C, E]: from the folder, so far as this encoder left them there."""
    encoder = hashlib.sha256(str(network.config.pool_size).encode())
    for weight in network.encoder.state_dict().values():
        encoder.update(str(float(weight.double().sum())).encode())
    path = folder / f"states-{encoder.hexdigest()[:16]}.safetensors"
    kept = load_file(path) if path.exists() else {}
    known = {key: at for at, key in enumerate(kept["parts"].tolist())} if kept else {}
    keys = [_key(part) for part in parts]
    new = {key: part for key, part in zip(keys, parts, strict=True) if key not in known}
    states = list(kept["pooled"].split(kept["counts"].tolist())) if kept else []
    if new:
        states += _pool(network, list(new.values()))
        known |= {key: at for at, key in enumerate(new, len(known))}
        _keep(path, list(known), states)
    return torch.cat([states[known[key]] for key in keys])


def _key(part: Piece) -> int:
    """63 bits that stand for a part's tokens."""
    ids = torch.tensor(part.ids, dtype=torch.int32).numpy().tobytes()
    return int.from_bytes(hashlib.blake2b(ids, digest_size=8).digest()) >> 1


def _keep(path: Path, keys: Sequence[int], states: Sequence[Tensor]) -> None:
    """parts int64 [P] with their counts of chunks, and pooled [C, E] of one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "parts": torch.tensor(keys),
        "counts": torch.tensor([len(own) for own in states]),
        "pooled": torch.cat(list(states)),
    }
    part = path.with_suffix(".tmp")
    save_file(found, part)
    part.replace(path)


@torch.inference_mode()
def _pool(network: MemoryNetwork, parts: Sequence[Piece]) -> list[Tensor]:
    """Of each part, fp16 [chunks, E]."""
    found: list[Tensor] = [torch.empty(0)] * len(parts)
    for some in by_length([len(p.ids) for p in parts], _BATCH_TOKENS):
        batch = pad([parts[i].ids for i in some])
        lengths = [len(parts[i].ids) for i in some]
        chunk_of_token, counts = chunk_offsets(lengths, network.config.pool_size)
        states = network.states(batch.ids, batch.mask)
        pooled = pool_states(states, batch.mask, chunk_of_token, sum(counts))
        for i, own in zip(some, pooled.to(torch.float16).split(counts), strict=True):
            found[i] = own
    return found


@torch.inference_mode()
def _words(network: MemoryNetwork, parts: Sequence[Piece], documents: Tensor) -> Tensor:
    found = []
    for at in range(0, len(parts), 512):
        some = slice(at, at + 512)
        batch = pad([p.ids for p in parts[some]])
        found.append(
            network.router.words(batch.ids, batch.mask, documents[some]).to(compute_dtype())
        )
    return torch.cat(found)
