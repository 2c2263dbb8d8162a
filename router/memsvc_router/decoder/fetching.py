"""Content on its way to the device, read while the layer before computes.

A router layer chooses by itself, but most of what one layer wants the next one wants too: so its
choice is fetched for the next. Knows views and tensors; nothing of routing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from memsvc_router.api import MemoryView
from memsvc_router.decoder.arrays import to_tensor

_POOL = ThreadPoolExecutor(2, "memsvc-fetch")
_streams: dict[torch.device, torch.cuda.Stream] = {}


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
    """Blocks [C, 2, G, D] of documents. To a GPU they go from pinned memory, in the current
    stream. Raises what the view raises."""
    blocks = [to_tensor(block) for block in view.content(handles, ordinal)]
    if device.type == "cuda":
        blocks = [block.pin_memory().to(device, non_blocking=True) for block in blocks]
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


def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream that copies to a device."""
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]
