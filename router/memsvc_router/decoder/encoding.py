"""Documents to blocks through a decoder: split, batch by length, run, pool. Knows no banks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from memsvc_kernels import chunk_offsets
from numpy.typing import NDArray
from torch import Tensor

from memsvc_router.api import ROUTING, SPANS, DocumentText, EncodedDocument, content_name
from memsvc_router.batching import by_length
from memsvc_router.decoder.arrays import to_array
from memsvc_router.decoder.attention import Hook
from memsvc_router.decoder.loading import Decoder
from memsvc_router.decoder.passes import EncodePass
from memsvc_router.decoder.prompts import Prompts
from memsvc_router.device import device_full
from memsvc_router.texts import Piece, chunk_spans

_BATCH_TOKENS = 4096
_PART_TOKENS = 16384  # longer documents are encoded in parts, also where the model could take more

_Blocks = dict[str, NDArray[Any]]


def part_limit(max_positions: int) -> int:
    """Most tokens of one part."""
    return min(max_positions, _PART_TOKENS)


def encode_steps(
    decoder: Decoder, hook: Hook, prompts: Prompts, documents: Sequence[DocumentText]
) -> Generator[None, None, list[EncodedDocument]]:
    """Encode each document alone, whatever shares its batch, a forward at each step. Order is
    kept."""
    limit = part_limit(decoder.config.max_positions)
    split = [prompts.document(document, limit) for document in documents]
    parts = [part for own in split for part in own]
    blocks: list[_Blocks] = [{}] * len(parts)
    for some in by_length([len(part.ids) for part in parts], _BATCH_TOKENS):
        pooled = _pooled(decoder, hook, [parts[i] for i in some])
        for i, block in zip(some, pooled, strict=True):
            blocks[i] = block
        yield
    found, at = [], 0
    for own in split:
        mine, at = blocks[at : at + len(own)], at + len(own)
        tensors = {name: np.concatenate([block[name] for block in mine]) for name in mine[0]}
        spans = [s for part in own for s in chunk_spans(part, decoder.config.pool_size)]
        tensors[SPANS] = np.asarray(spans, np.int32).reshape(-1, 2)
        found.append(EncodedDocument(tensors, tokens=sum(len(part.ids) for part in own)))
    return found


def _pooled(decoder: Decoder, hook: Hook, parts: Sequence[Piece]) -> list[_Blocks]:
    """As `_pool`; where the device has no memory for all parts, one half after the other. Raises
    DeviceFull where it has none for one."""
    try:
        return _pool(decoder, hook, parts)
    except Exception as error:
        full = device_full(error)
        if full is None:
            raise
    if len(parts) == 1:
        raise full
    middle = len(parts) // 2
    return [
        *_pooled(decoder, hook, parts[:middle]),
        *_pooled(decoder, hook, parts[middle:]),
    ]


@torch.inference_mode()
def _pool(decoder: Decoder, hook: Hook, parts: Sequence[Piece]) -> list[_Blocks]:
    """Blocks of parts that share one forward, padded to the longest."""
    config, device = decoder.config, decoder.network.device
    lengths = [len(part.ids) for part in parts]
    ids = torch.zeros(len(parts), max(lengths), dtype=torch.long)
    for row, part in enumerate(parts):
        ids[row, : lengths[row]] = torch.tensor(part.ids)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    chunk_of_token, counts = chunk_offsets(lengths, config.pool_size)
    run = EncodePass(config, mask.to(device), chunk_of_token.to(device), sum(counts))
    positions = torch.arange(max(lengths), device=device).expand(len(parts), -1)
    with hook.during(run):
        decoder.network.base_model(
            input_ids=ids.to(device), position_ids=positions, use_cache=False
        )
    return _split(run, config.router_layers, counts)


def _split(run: EncodePass, layers: Sequence[int], counts: list[int]) -> list[_Blocks]:
    """One dictionary of arrays for each part."""
    routing: Tensor = torch.stack([run.routing[layer] for layer in layers], dim=1)
    tensors = {content_name(i): run.content[layer] for i, layer in enumerate(layers)}
    tensors[ROUTING] = routing
    pieces = {name: tensor.split(counts) for name, tensor in tensors.items()}
    return [
        {name: to_array(split[i]) for name, split in pieces.items()} for i in range(len(counts))
    ]
