"""Routing keys at 8 bits, and four more.

Keys rest as int8 with one scale for each row of each router layer, and four more bits that only
exact scores read: 8 bits alone swap documents whose scores all but tie (dev/LOG.md, M5). Layers of
narrow keys lie side by side, those of wide ones each for itself. Knows arrays only.
Legend: C chunks, L router layers, l layers of a run, R routing width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEVEL = np.float32(1 / 256)  # of a scale: a sixteenth, as the upper half of a byte has it
_SHORT = 2048  # bytes of a row that all layers share: beyond, to read one layer skips too many


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
        low, high = (finer << 4).view(np.int8), (finer & 0xF0).view(np.int8)
        wide[..., ::2] += low * _LEVEL
        wide[..., 1::2] += high[..., : codes.shape[-1] // 2] * _LEVEL
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
