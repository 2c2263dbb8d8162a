"""Routing over keys at 8 bits: a scan of whole numbers, then exact scores of the best documents.

Keys rest as int8 with one scale for each row of each router layer, and four more bits that only the
exact scores read: 8 bits alone swap documents whose scores all but tie (dev/LOG.md, M5). Layers of
narrow keys lie side by side, those of wide ones each for itself. Knows arrays only.
Legend: C chunks, L router layers, l layers of a run, R routing width, M queries, N documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memsvc_kernels.products import Product, Products, products
from memsvc_kernels.routing import Ranking, route, route_layer
from memsvc_kernels.shards import each_shard, even_tile

RESCORED = 48  # documents, at least (PERFORMANCE.md: chunks are not enough)
_SHORT = 2048  # bytes of a row that all layers share: beyond, to read one layer skips too many

Routed = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
"""As `routing.route` returns it."""


def layer_runs(layers: int, width: int) -> list[range]:
    """The router layers whose codes lie side by side in one array."""
    if layers * width <= _SHORT:
        return [range(layers)]
    return [range(layer, layer + 1) for layer in range(layers)]


@dataclass(frozen=True)
class Codes:
    """Keys at 8 bits. codes: int8 [C, l, R] for each of `layer_runs`; scales fp32 [C, L]: a key is
    scale · code; finer: what `four_more` made of them, uint8 [C, L, ceil(R/2)], or None."""

    codes: Sequence[NDArray[np.int8]]
    scales: NDArray[np.float32]
    finer: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.scales)

    def keys(self, chunks: NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Keys of some chunks as exactly as they are known, fp32 [n, L, R]."""
        codes = np.concatenate([own[chunks] for own in self.codes], axis=1)
        finer = self.finer[chunks] if self.finer is not None else None
        return full_width(codes, self.scales[chunks], finer)

    def layer_keys(self, layer: int, chunks: NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """One layer of them [n, R], as `keys` has it; the others are not read."""
        run, inside = self.where(layer)
        finer = self.finer[chunks, layer] if self.finer is not None else None
        return full_width(self.codes[run][chunks, inside], self.scales[chunks, layer], finer)

    def where(self, layer: int) -> tuple[int, int]:
        """Which array of `codes` holds a layer, and where in its rows."""
        run: int = self.codes[0].shape[1]
        return divmod(layer, run)


def eight_bits(values: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Values [..., W] as int8 codes and a scale fp32 [...] for each row: a value is scale · code,
    off by at most half a scale."""
    wide = values.astype(np.float32)
    most = np.abs(wide).max(axis=-1, initial=0.0)
    scales = np.where(most > 0, most / 127, 1.0).astype(np.float32)
    return np.rint(wide / scales[..., None]).astype(np.int8), scales


def four_more(
    values: NDArray[Any], codes: NDArray[np.int8], scales: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """What `eight_bits` rounded off of values [..., W], in sixteenths of a scale, two to a byte:
    uint8 [..., ceil(W/2)]. With it a value is off by a thirty-second of a scale (a sixteenth where
    it lay halfway)."""
    off = values.astype(np.float32) / scales[..., None] - codes
    levels = np.rint(off * 16).clip(-8, 7).astype(np.int8) & 15
    if levels.shape[-1] % 2:
        levels = np.concatenate((levels, np.zeros_like(levels[..., :1])), axis=-1)
    packed: NDArray[np.uint8] = (levels[..., ::2] | levels[..., 1::2] << 4).astype(np.uint8)
    return packed


def full_width(
    codes: NDArray[Any], scales: NDArray[Any], finer: NDArray[np.uint8] | None = None
) -> NDArray[np.float32]:
    """What `eight_bits` made, in fp32 again; with `finer` of `four_more`, as close as that is."""
    wide: NDArray[np.float32] = codes.astype(np.float32)
    if finer is not None:
        pairs = np.stack((finer << 4, finer & 0xF0), axis=-1).view(np.int8)  # 16 times a level
        levels = pairs.reshape(*finer.shape[:-1], 2 * finer.shape[-1])
        wide += levels[..., : codes.shape[-1]] / np.float32(256)
    wide *= scales[..., None]
    return wide


def codes_of(
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    finer: NDArray[np.uint8] | None = None,
) -> Codes:
    """Codes [C, L, R] with their scales, as the scan wants them."""
    runs = layer_runs(*codes.shape[1:])
    return Codes([np.ascontiguousarray(codes[:, run]) for run in runs], scales, finer)


def route_codes(
    queries: NDArray[np.float32],
    codes: Codes,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
    precedence: NDArray[np.integer] | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Routed:
    """As `routing.route` over what the codes stand for: a scan, then fp32 products of the 48 (or
    2·k) best documents.

    queries fp32 [M, L, R]; rows: the chunks to scan, ascending (None: all); the rest and the result
    as there. Raises ValueError on a k below 1 or shapes that do not agree.
    """
    check_codes(k, queries.shape[1:], codes, chunk_document)
    owners = chunk_document if rows is None else chunk_document[rows]
    near = np.empty((len(queries), len(owners)), np.float32)
    by_layer, runs = queries.swapaxes(0, 1), layer_runs(*queries.shape[1:])

    def scan(tile: slice, found: Tensor, multiply: Product) -> None:
        wanted = tile if rows is None else rows[tile]
        scales = torch.from_numpy(codes.scales[wanted]).unsqueeze(2)
        found.zero_()
        for at, (run, own) in enumerate(zip(runs, codes.codes, strict=True)):
            scores = multiply(torch.from_numpy(own[wanted]).flatten(1), at)
            found += (scores * scales[:, run]).sum(1).T

    _tiles(near, products([by_layer[run] for run in runs]), scan)
    found = Ranking(near, owners, allowed, "max", precedence).documents(_most(k))

    def again(keys: NDArray[np.float32], owner: NDArray[np.int64]) -> Routed:
        flat = queries.reshape(len(queries), -1)
        return route(flat, keys.reshape(len(keys), flat.shape[1]), owner, None, k, precedence)

    return _refined(found, codes, chunk_document, again)


def route_layer_codes(
    queries: NDArray[np.float32],
    codes: Codes,
    layer: int,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
    query_reduce: str = "max",
    chunk_reduce: str = "max",
    precedence: NDArray[np.integer] | None = None,
) -> Routed:
    """As `routing.route_layer`, over one layer's codes, as `route_codes` does it.

    queries fp32 [M, J, R]. Raises as `route_codes`.
    """
    m, rows, width = queries.shape
    check_codes(k, (codes.scales.shape[1], width), codes, chunk_document)
    near = np.empty((1, len(codes)), np.float32)
    run, inside = codes.where(layer)
    own = codes.codes[run]

    def scan(tile: slice, found: Tensor, multiply: Product) -> None:
        part = torch.from_numpy(np.ascontiguousarray(own[tile, inside]))
        by_token = multiply(part, 0).unflatten(2, (m, rows))[:, 0]
        best = by_token.amax(2)
        found[0] = best.amax(1) if query_reduce == "max" else best.mean(1)
        found *= torch.from_numpy(codes.scales[tile, layer])  # positive: the best stays the best

    _tiles(near, products([queries.reshape(1, m * rows, width)]), scan)
    ranking = Ranking(near, chunk_document, allowed, chunk_reduce, precedence)
    found = ranking.documents(_most(k))

    def again(keys: NDArray[np.float32], owner: NDArray[np.int64]) -> Routed:
        own = keys[:, layer]
        return route_layer(queries, own, owner, None, k, query_reduce, chunk_reduce, precedence)

    return _refined(found, codes, chunk_document, again)


def check_codes(
    k: int, shape: tuple[int, ...], codes: Codes, chunk_document: NDArray[np.integer]
) -> None:
    """Raises ValueError on a k below 1, or queries [..., L, R] of another shape than the codes."""
    shapes = [own.shape for own in codes.codes]
    wanted = [(len(chunk_document), len(run), shape[1]) for run in layer_runs(*shape)]
    if k < 1 or shapes != wanted:
        raise ValueError(
            f"k={k}, queries [..., {shape}], codes {shapes}, documents {chunk_document.shape}"
        )


def _most(k: int) -> int:
    """Documents that are scored exactly."""
    return max(RESCORED, 2 * k)


def _refined(
    found: Sequence[NDArray[np.int64]],
    codes: Codes,
    chunk_document: NDArray[np.integer],
    again: Callable[[NDArray[np.float32], NDArray[np.int64]], Routed],
) -> Routed:
    """Route once more, over keys [*, L, R] in fp32 of the documents found; chunks are counted as in
    the bank."""
    wanted = np.unique(np.concatenate(found))
    starts = np.searchsorted(chunk_document, wanted)
    counts = np.searchsorted(chunk_document, wanted, side="right") - starts
    owner = np.repeat(wanted, counts)
    chunks = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(len(owner))
    documents, scores, best = again(codes.keys(chunks), owner)
    return documents, scores, np.where(best < 0, -1, np.append(chunks, -1)[best])


def _tiles(
    out: NDArray[np.float32],
    ways: Products,
    scan: Callable[[slice, Tensor, Product], None],
) -> None:
    """Fill scores [M, C], tile by tile, in all threads."""

    rows = even_tile(out.shape[1], ways.tile)

    def work(shard: range) -> None:
        multiply = ways.begin()
        for at in shard:
            tile = slice(at, at + rows)
            scan(tile, torch.from_numpy(out[:, tile]), multiply)

    each_shard(out.shape[1], work, rows)
