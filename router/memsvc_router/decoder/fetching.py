"""Content on its way to the device, read while the layer before computes.

A router layer chooses by itself, but most of what one layer wants the next one wants too: so its
choice is fetched for the next. Knows views and tensors; nothing of routing.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate

import torch
from torch import Tensor

from memsvc_router.api import MemoryView
from memsvc_router.decoder.arrays import to_tensor

_POOL = ThreadPoolExecutor(2, "memsvc-fetch")
_ALIGNED = 256  # bytes: where a block begins, as if it were allocated by itself


class Staging(threading.local):
    """Pinned memory that blocks pass on their way to one device. Each thread has its own, and uses
    it again once what was in it has arrived."""

    def __init__(self) -> None:
        self._buffer = torch.empty(0, dtype=torch.uint8)
        self._arrived: torch.cuda.Event | None = None

    def moved(self, blocks: Sequence[Tensor], device: torch.device) -> list[Tensor]:
        """The same on the device, views of one copy that is made in the current stream."""
        ends = list(accumulate(-(-block.nbytes // _ALIGNED) * _ALIGNED for block in blocks))
        if self._arrived is not None:
            self._arrived.synchronize()
        if ends[-1] > len(self._buffer):
            self._buffer = _pinned(max(ends[-1], 2 * len(self._buffer)))
        places = [slice(at, at + b.nbytes) for at, b in zip((0, *ends), blocks, strict=False)]
        for place, block in zip(places, blocks, strict=True):
            self._buffer[place] = block.reshape(-1).view(torch.uint8)
        copy = torch.empty(ends[-1], dtype=torch.uint8, device=device)
        copy.copy_(self._buffer[: ends[-1]], non_blocking=True)
        self._arrived = torch.cuda.Event()
        self._arrived.record(torch.cuda.current_stream(device))
        return [
            copy[place].view(block.dtype).view(block.shape)
            for place, block in zip(places, blocks, strict=True)
        ]


_streams: dict[torch.device, torch.cuda.Stream] = {}
_stagings: dict[torch.device, Staging] = {}


class Fetch:
    """Content of documents in one memory layer, on its way. Made and asked by one thread."""

    def __init__(
        self, view: MemoryView, ordinal: int, handles: Sequence[int], like: Tensor
    ) -> None:
        """The blocks come on the device and in the precision of `like`."""
        self._handles = list(handles)
        self._read: Future[list[Tensor]] = _POOL.submit(
            _moved, view, ordinal, self._handles, like.device, like.dtype
        )

    def blocks(self) -> dict[int, Tensor]:
        """Blocks [C, 2, G, D] by handle, waited for; none if they could not be read: whoever
        needs them reads them then, and hears why."""
        try:
            found = self._read.result()
        except Exception:
            return {}
        if found and found[0].is_cuda:
            here = torch.cuda.current_stream(found[0].device)
            here.wait_stream(_stream(found[0].device))
            for block in found:
                block.record_stream(here)
        return dict(zip(self._handles, found, strict=True))


def moved(
    view: MemoryView,
    ordinal: int,
    handles: Sequence[int],
    device: torch.device,
    dtype: torch.dtype,
) -> list[Tensor]:
    """Blocks [C, 2, G, D] of documents. To a GPU they go through pinned memory, in the current
    stream. Raises what the view raises."""
    blocks = [to_tensor(block) for block in view.content(handles, ordinal)]
    if device.type == "cuda" and blocks:
        blocks = _stagings.setdefault(device, Staging()).moved(blocks, device)
    return [block.to(device, dtype) for block in blocks]


@torch.inference_mode()
def _moved(
    view: MemoryView,
    ordinal: int,
    handles: Sequence[int],
    device: torch.device,
    dtype: torch.dtype,
) -> list[Tensor]:
    if device.type != "cuda":
        return moved(view, ordinal, handles, device, dtype)
    with torch.cuda.stream(_stream(device)):
        return moved(view, ordinal, handles, device, dtype)


def _pinned(size: int) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, pin_memory=True)


def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream that copies to a device."""
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]
