"""Kernel or plain torch: which of them serves on a device, and what happens where a kernel fails.

Each kernel is checked once on each device; one that fails then or later is named in the log, once,
and not used there any more. Knows kernels by name, and nothing of what they compute.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from memsvc_kernels import kernel_check

VARIABLE = "MEMSVC_KERNELS"
_LOG = logging.getLogger("memsvc.kernels")
_lock = threading.Lock()
_passed: dict[tuple[str, torch.device], bool] = {}
_told: set[torch.device] = set()

_P = ParamSpec("_P")
_R = TypeVar("_R")


def mode() -> str:
    """What MEMSVC_KERNELS says. Raises ValueError for what it may not say."""
    said = os.environ.get(VARIABLE, "auto")
    if said not in ("auto", "reference", "triton"):
        raise ValueError(f"{VARIABLE} is auto, reference or triton, not {said!r}")
    return said


def self_check(device: torch.device) -> None:
    """Try every kernel on a device before the first question needs one; the log says once who
    serves there."""
    if mode() != "auto" or device in _told:
        return
    _told.add(device)
    if not _on_gpu(device):
        why = "the model is on the CPU" if torch.cuda.is_available() else "no GPU"
        _LOG.info("%s: kernels are plain torch", why)
    elif served := [name for name in kernel_check.NAMES if _usable(name, device)]:
        _LOG.info("kernels that serve on %s: %s", device, ", ".join(served))


def kernel_device(name: str) -> torch.device | None:
    """Where to keep what this kernel reads: the GPU, if models use it (none is woken for this) and
    the kernel serves there; None: nowhere. Where nothing but kernels may serve, any device does."""
    said, on_gpu = mode(), torch.cuda.is_initialized()
    if said == "reference" or (said == "auto" and not on_gpu):
        return None
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    return device if said == "triton" or _usable(name, device) else None


def serves(name: str, device: torch.device) -> bool:
    """Does a kernel serve on this device?"""
    said = mode()
    return said == "triton" or (said == "auto" and _usable(name, device))


def serve(plain: Callable[_P, _R], like: Tensor, *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call the kernel that is named as `plain`, or `plain`, for tensors on the device of `like`."""
    name = plain.__name__
    if not serves(name, like.device):
        return plain(*args, **kwargs)
    kernel: Callable[_P, _R] = kernel_check.kernel(name)
    if mode() == "triton":
        return kernel(*args, **kwargs)
    ours, theirs = partial(kernel, *args, **kwargs), partial(plain, *args, **kwargs)
    return _kernel_or_plain(name, like.device, ours, theirs)


def gradients(
    name: str, device: torch.device, kernel: Callable[[], _R], plain: Callable[[], _R]
) -> _R:
    """What a kernel's backward comes to: by a kernel too, unless that fails. While the kernel is
    checked, and where nothing else may serve, a failure is raised."""
    passed = _passed.get((name, device))
    if mode() == "triton" or passed is None:
        return kernel()
    return _kernel_or_plain(name, device, kernel, plain) if passed else plain()


def _kernel_or_plain(
    name: str, device: torch.device, kernel: Callable[[], _R], plain: Callable[[], _R]
) -> _R:
    try:
        return kernel()
    except Exception as error:
        short, broken = kernel_check.out_of_memory(error), kernel_check.does_not_run(error)
        if not short and not broken:
            raise
        _passed[name, device] = short
        _refuse(name, device, "no memory is left" if short else str(error))
    return plain()  # outside the handler, which would keep the kernel's tensors


def _usable(name: str, device: torch.device) -> bool:
    """Did the kernel pass its check on this device? Checks it at the first call."""
    if not _on_gpu(device):
        return False
    key = (name, device)
    if key not in _passed:
        with _lock:
            if key not in _passed:
                _passed[key] = _check(name, device)
    return _passed[key]


def _on_gpu(device: torch.device) -> bool:
    return device.type == "cuda"


def _check(name: str, device: torch.device) -> bool:
    everything = ("all", device)
    if everything not in _passed:
        reason = kernel_check.obstacle(device)
        _passed[everything] = reason is None
        if reason:
            _refuse("any", device, reason)
    if not _passed[everything]:
        return False
    reason = kernel_check.disagreement(name, device)
    if reason:
        _refuse(name, device, reason)
    return reason is None


def _refuse(name: str, device: torch.device, reason: str) -> None:
    line = " ".join(reason.split())[:300]
    _LOG.warning("kernel %s is not used on %s: %s; plain torch serves", name, device, line)
