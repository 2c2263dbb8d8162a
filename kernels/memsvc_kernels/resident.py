"""A bank's keys on a GPU: copied as the bank grows, scanned there by kernels.

The scan names the best documents of all, as `scan` does on a CPU; that scores them exactly from the
keys in memory, so that both come to the same. Keys that do not fit are scanned by the CPU. Knows
arrays and tensors only. Legend as in `scan`; B queries that are scored apart, T tokens of each.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memsvc_kernels.codes import Codes
from memsvc_kernels.dispatch import document_best, out_of_memory, score_chunks, top_k
from memsvc_kernels.routing import Ranking
from memsvc_kernels.serving import kernel_device

_LOG = logging.getLogger("memsvc.kernels")
_SHARE = 0.5  # of the memory that is free there: the rest is for what models compute


@dataclass(frozen=True)
class _Copy:
    """codes int8 [C, R] and scales fp32 [C] of each layer; owner int64 [C]."""

    codes: Sequence[Tensor]
    scales: Sequence[Tensor]
    owner: Tensor

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in (*self.codes, *self.scales, self.owner))

    def first(self, chunks: int) -> _Copy:
        """What it was when there were so many chunks."""
        codes, scales = ([one[:chunks] for one in own] for own in (self.codes, self.scales))
        return _Copy(codes, scales, self.owner[:chunks])

    def scores(self, layer: int, queries: Tensor, reduce: str) -> Tensor:
        """Of queries [B, T, R], reduced over T: [B, C]."""
        scales = self.scales[layer]
        return score_chunks(queries, self.codes[layer], scales=scales, reduce=reduce)


class ResidentKeys:
    """One bank's keys on a device, from its first question on. For keys that are only appended to:
    each call has a moment of them. Thread-safe; a `scan.Resident`."""

    def __init__(
        self, where: Callable[[], torch.device | None] = lambda: kernel_device("score_chunks")
    ) -> None:
        """where: the device, None as long as there is none that kernels serve on."""
        self._where = where
        self._lock = threading.Lock()  # over copying
        self._copy: _Copy | None = None
        self._refused = False

    @property
    def nbytes(self) -> int:
        """Memory of the device's."""
        copy = self._copy
        return copy.nbytes if copy is not None else 0

    @property
    def serves(self) -> bool:
        """Whether keys are scanned there, as far as is known."""
        return not self._refused and self._where() is not None

    def nearest(
        self,
        queries: NDArray[np.float32],
        codes: Codes,
        chunk_document: NDArray[np.integer],
        allowed: NDArray[np.bool_] | None,
        most: int,
        precedence: NDArray[np.integer] | None,
    ) -> Sequence[NDArray[np.int64]] | None:
        """See `scan.Resident`; queries [M, L, R]."""

        def scores(copy: _Copy, asked: Tensor) -> Tensor:
            found = copy.scores(0, asked[:, :1], "max")
            for layer in range(1, asked.shape[1]):
                found += copy.scores(layer, asked[:, layer : layer + 1], "max")
            return found

        rest = (chunk_document, allowed, most, "max", precedence)
        return self._ranked(queries, codes, scores, *rest)

    def nearest_in_layer(
        self,
        queries: NDArray[np.float32],
        codes: Codes,
        layer: int,
        chunk_document: NDArray[np.integer],
        allowed: NDArray[np.bool_] | None,
        most: int,
        query_reduce: str,
        chunk_reduce: str,
        precedence: NDArray[np.integer] | None,
    ) -> Sequence[NDArray[np.int64]] | None:
        """See `scan.Resident`; queries [M, J, R]."""

        def scores(copy: _Copy, asked: Tensor) -> Tensor:
            if query_reduce == "max" or asked.shape[1] == 1:
                return copy.scores(layer, asked.flatten(0, 1)[None], query_reduce)
            return copy.scores(layer, asked, "max").mean(0, keepdim=True)

        rest = (chunk_document, allowed, most, chunk_reduce, precedence)
        return self._ranked(queries, codes, scores, *rest)

    def _ranked(
        self,
        queries: NDArray[np.float32],
        codes: Codes,
        scores: Callable[[_Copy, Tensor], Tensor],
        chunk_document: NDArray[np.integer],
        *rest: *tuple[NDArray[np.bool_] | None, int, str, NDArray[np.integer] | None],
    ) -> Sequence[NDArray[np.int64]] | None:
        device = None if self._refused else self._where()
        if device is None or not len(codes):
            return None
        try:
            with torch.inference_mode():
                copy = self._held(codes, chunk_document, device)
                asked = torch.from_numpy(np.ascontiguousarray(queries)).to(device)
                return _documents(scores(copy, asked), copy.owner, chunk_document, *rest)
        except Exception as error:
            if not out_of_memory(error):
                raise
        self._give_up(device)
        return None

    def _held(
        self, codes: Codes, chunk_document: NDArray[np.integer], device: torch.device
    ) -> _Copy:
        """The copy of these keys, with what was missing. Raises OutOfMemoryError."""
        with self._lock:
            copy = self._copy or _nothing(codes, device)
            if len(copy.owner) < len(codes):
                copy = self._copy = _extended(copy, codes, chunk_document)
        return copy.first(len(codes))

    def _give_up(self, device: torch.device) -> None:
        with self._lock:
            told, self._refused, self._copy = self._refused, True, None
        if not told:
            _LOG.warning("the keys of a bank do not fit on %s: the CPU scans them", device)


def _nothing(codes: Codes, device: torch.device) -> _Copy:
    layers, width = codes.scales.shape[1], codes.codes[0].shape[2]
    none = torch.empty((0, width), dtype=torch.int8, device=device)
    scales = torch.empty(0, device=device)
    return _Copy([none] * layers, [scales] * layers, scales.long())


def _extended(copy: _Copy, codes: Codes, chunk_document: NDArray[np.integer]) -> _Copy:
    """A copy that holds all of these keys. Raises OutOfMemoryError."""
    held, device = len(copy.owner), copy.owner.device
    layers = range(len(copy.codes))
    each = sum(own[0].nbytes for own in codes.codes) + 4 * len(layers) + 8
    if each * (len(codes) - held) > _SHARE * _free(device):
        raise torch.OutOfMemoryError("more than a fair share of what is free")

    def with_new(old: Tensor, rows: NDArray[np.generic]) -> Tensor:
        return torch.cat((old, torch.from_numpy(np.ascontiguousarray(rows)).to(device)))

    places = [codes.where(layer) for layer in layers]
    return _Copy(
        [
            with_new(copy.codes[layer], codes.codes[run][held:, inside])
            for layer, (run, inside) in enumerate(places)
        ],
        [with_new(copy.scales[layer], codes.scales[held:, layer]) for layer in layers],
        with_new(copy.owner, chunk_document[held:].astype(np.int64, copy=False)),
    )


def _free(device: torch.device) -> float:
    """Bytes that are free on a device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf


def _documents(
    scores: Tensor,
    owner: Tensor,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    most: int,
    chunk_reduce: str,
    precedence: NDArray[np.integer] | None,
) -> Sequence[NDArray[np.int64]]:
    """The best documents by scores [B, C] of their chunks."""
    if chunk_reduce != "max":  # no kernel: sums by atomics would be in another order each time
        near = scores.cpu().numpy()
        return Ranking(near, chunk_document, allowed, chunk_reduce, precedence).documents(most)
    count = int(chunk_document[-1]) + 1
    best, _ = document_best(scores, owner, count)
    if allowed is not None:
        seen = torch.from_numpy(allowed[:count]).to(best.device)
        best = best.masked_fill(~seen, -math.inf)
    order = None if precedence is None else torch.from_numpy(precedence[:count]).to(best.device)
    found = top_k(best, most, order)[0].cpu().numpy()
    return [row[row >= 0] for row in found]
