"""Documents to blocks: split, batch by length, run, pool. Knows nothing of banks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from memsvc_kernels import chunk_offsets, flowing, shard_threads
from numpy.typing import NDArray
from tokenizers import Tokenizer

from memsvc_router.api import ROUTING, SPANS, DocumentText, EncodedDocument, content_name
from memsvc_router.batching import all_steps, shared_out
from memsvc_router.network import MemoryNetwork, PartBatch
from memsvc_router.texts import Piece, chunk_spans, pad, parts_of, tokenize

_BATCH_TOKENS = 512  # of a thread: measured, half and twice as many are slower


@dataclass(frozen=True)
class _Part:
    """A part with the tokens and the number of parts of its document."""

    piece: Piece
    tokens: int
    parts: int


_Pooled = tuple[NDArray[np.float16], NDArray[np.float16]]


def encode_documents(
    network: MemoryNetwork, tokenizer: Tokenizer, documents: Sequence[DocumentText]
) -> list[EncodedDocument]:
    """Encode each document alone, whatever shares its batch. Order is kept."""
    return all_steps(encode_steps(network, tokenizer, documents))


def encode_steps(
    network: MemoryNetwork, tokenizer: Tokenizer, documents: Sequence[DocumentText]
) -> Generator[None, None, list[EncodedDocument]]:
    """As `encode_documents`; at each step, one more forward has been made."""
    config = network.config
    titles = tokenize(tokenizer, [d.title for d in documents])
    texts = tokenize(tokenizer, [d.text for d in documents])
    split = [
        parts_of(title, text, config.part_tokens) for title, text in zip(titles, texts, strict=True)
    ]
    parts = [_Part(p, sum(len(o.ids) for o in own), len(own)) for own in split for p in own]
    pooled = yield from _pool_all(network, parts)
    found, at = [], 0
    for own in split:
        mine, at = pooled[at : at + len(own)], at + len(own)
        spans = [s for part in own for s in chunk_spans(part, config.pool_size)]
        found.append(
            EncodedDocument(
                tensors={
                    **_by_layer(np.concatenate([content for content, _ in mine])),
                    ROUTING: np.concatenate([routing for _, routing in mine]),
                    SPANS: np.asarray(spans, np.int32).reshape(-1, 2),
                },
                tokens=sum(len(part.ids) for part in own),
            )
        )
    return found


def _by_layer(content: NDArray[np.float16]) -> dict[str, NDArray[np.generic]]:
    """Content [C, L, 2, G, D] as one tensor for each memory layer."""
    layers = content.shape[1]
    return {content_name(i): np.ascontiguousarray(content[:, i]) for i in range(layers)}


def _pool_all(
    network: MemoryNetwork, parts: Sequence[_Part]
) -> Generator[None, None, list[_Pooled]]:
    """Blocks of every part, computed in batches of similar length."""
    lengths = [len(part.piece.ids) for part in parts]
    groups = shared_out(lengths, _BATCH_TOKENS, shard_threads())
    of_part: dict[int, _Pooled] = {}
    made = flowing(lambda own: _pool(network, [parts[i] for i in own]), groups)
    with closing(made):
        for own, blocks in zip(groups, made, strict=True):
            of_part.update(zip(own, blocks, strict=True))
            yield
    return [of_part[i] for i in range(len(parts))]


@torch.inference_mode()
def _pool(network: MemoryNetwork, parts: Sequence[_Part]) -> list[_Pooled]:
    lengths = [len(p.piece.ids) for p in parts]
    batch = pad([p.piece.ids for p in parts])
    chunk_of_token, counts = chunk_offsets(lengths, network.config.pool_size)
    of_document = torch.tensor([(p.tokens, p.parts) for p in parts]).T
    blocks = network.blocks(
        PartBatch(batch.ids, batch.mask, chunk_of_token, sum(counts), *of_document)
    )
    content = blocks.content.to(torch.float16).split(counts)
    routing = blocks.routing.to(torch.float16).split(counts)
    return [(c.numpy().copy(), r.numpy().copy()) for c, r in zip(content, routing, strict=True)]
