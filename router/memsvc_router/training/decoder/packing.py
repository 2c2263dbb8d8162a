"""Documents packed: several share a row, none sees another (MSA §1), all keep their gradient.

Knows token ids and the encoder's pass; no questions.
Legend: R rows, L tokens of a row, C chunks, N documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from memsvc_kernels import attend, chunk_offsets, earlier
from torch import Tensor

from memsvc_router.decoder.attention import LayerCall
from memsvc_router.decoder.config import MsaConfig
from memsvc_router.decoder.passes import EncodePass, causal

_ROW_TOKENS = 1024  # of a row, unless a document needs more
_ROW_DOCUMENTS = 4  # of the longest: attention costs a row's square, and padding stays rare


@dataclass(frozen=True)
class Packed:
    """Documents in rows. ids, positions (within the part), part (its number, -1: padding) int64
    [R, L]; chunk_of_token [tokens] counts rows from left to right; document_of_chunk [C]."""

    ids: Tensor
    positions: Tensor
    part: Tensor
    chunk_of_token: Tensor
    document_of_chunk: Tensor
    documents: int

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return len(self.chunk_of_token)

    @property
    def chunks(self) -> int:
        """All documents' chunks."""
        return len(self.document_of_chunk)


def pack(documents: Sequence[Sequence[Sequence[int]]], pool_size: int) -> Packed:
    """Documents, each a list of parts that are encoded alone, one after another into rows."""
    parts = [part for document in documents for part in document]
    owners = [n for n, document in enumerate(documents) for _ in document]
    lengths = [len(ids) for ids in parts]
    longest = max(lengths)
    limit = max(min(_ROW_DOCUMENTS * longest, _ROW_TOKENS), longest)
    rows: list[list[int]] = []
    used = limit + 1
    for number, length in enumerate(lengths):
        if used + length > limit:
            rows.append([])
            used = 0
        rows[-1].append(number)
        used += length
    width = max(sum(lengths[n] for n in row) for row in rows)
    shape = len(rows), width
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    part = torch.full(shape, -1)
    for at, row in enumerate(rows):
        begin = 0
        for number in row:
            end = begin + lengths[number]
            ids[at, begin:end] = torch.tensor(parts[number])
            positions[at, begin:end] = torch.arange(lengths[number])
            part[at, begin:end] = number
            begin = end
    chunk_of_token, counts = chunk_offsets(lengths, pool_size)
    owner = torch.tensor(owners).repeat_interleave(torch.tensor(counts))
    return Packed(ids, positions, part, chunk_of_token, owner, len(documents))


class PackedPass(EncodePass):
    """Encodes packed documents, differentiable; see `EncodePass`."""

    def __init__(self, config: MsaConfig, packed: Packed) -> None:
        super().__init__(config, packed.part >= 0, packed.chunk_of_token, packed.chunks)
        self._part = packed.part
        # Rows of one document need no mask: padding stands behind it.
        self._alone = bool((packed.part.amax(1) <= packed.part[:, 0]).all())

    def attend(self, call: LayerCall) -> Tensor:
        """See `Pass.attend`."""
        self.keep(call)
        if self._alone:
            return causal(in_one_precision(call))
        return attend_visible(call, self._seen(call.window))

    def _seen(self, window: int | None) -> Tensor:
        """bool [R, L, L]: earlier tokens of the same part."""
        return (self._part.unsqueeze(2) == self._part.unsqueeze(1)) & earlier(
            self._part.shape[1], window, self._part.device
        )


def in_one_precision(call: LayerCall) -> LayerCall:
    """Where a norm computes in fp32, autocast leaves queries and values in two precisions."""
    return replace(call, k=call.k.to(call.q.dtype), v=call.v.to(call.q.dtype))


def attend_visible(call: LayerCall, visible: Tensor) -> Tensor:
    """Attention of a batch by a mask, bool [B, T, T] (no row sees nothing) -> [B, T, H, D]."""
    one = in_one_precision(call)
    return attend(one.q, one.k, one.v, visible, one.scale, one.softcap).transpose(1, 2)
