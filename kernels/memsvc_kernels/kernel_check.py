"""May a Triton kernel serve on this machine: is there Triton, is the GPU new enough, does the
kernel come to what plain torch comes to at a small shape?

Knows the kernels by name; importing it needs no Triton. Who is asked when is `dispatch`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from memsvc_kernels import attention, gather, pooling_reference, ranking_reference
from memsvc_kernels.gather import Spans

OLDEST = (8, 0)  # compute capability: bf16 products, and what the kernels are compiled for in CI
_NEAR = 1e-4  # sums in fp32, in another order
_ROUNDED = 3e-2  # results in bf16

Compared = Sequence[tuple[Tensor, float]]
"""Results, and how far apart each may be."""
Function = Callable[..., Any]


@dataclass(frozen=True)
class _Kernel:
    """Where a kernel stands, what defines its results, and what tries either of them."""

    module: str
    reference: Function
    check: Callable[[Function, torch.Generator, torch.device], Compared]


def kernel(name: str) -> Callable[..., Any]:
    """The Triton function of this name. Raises ImportError without Triton."""
    module = import_module(f"memsvc_kernels.{_KERNELS[name].module}")
    found: Callable[..., Any] = getattr(module, name)
    return found


def obstacle(device: torch.device) -> str | None:
    """Why no kernel can serve on a GPU; None if they can."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    if torch.version.cuda is None:
        return "PyTorch was not built for NVIDIA GPUs"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST:
        return f"its compute capability {capability} is below {OLDEST}"
    return None


def disagreement(name: str, device: torch.device) -> str | None:
    """What is wrong with a kernel, tried at a small shape on this device; None if nothing is."""
    known, draw = _KERNELS[name], torch.Generator().manual_seed(0)
    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device.type, enabled=False),
        ):
            ours = known.check(kernel(name), draw, device)
            draw.manual_seed(0)
            plain = known.check(known.reference, draw, device)
    except Exception as error:  # whatever it is: plain torch serves
        return f"{type(error).__name__}: {error}"
    for (mine, tolerance), (wanted, _) in zip(ours, plain, strict=True):
        if not torch.allclose(mine.float(), wanted.float(), rtol=tolerance, atol=tolerance):
            return f"it disagrees with plain torch by more than {tolerance}"
    return None


def out_of_memory(error: Exception) -> bool:
    """Did the device's memory run out? CUDA and Triton tell it by a message alone."""
    told = isinstance(error, RuntimeError) and "out of memory" in str(error)
    return isinstance(error, torch.OutOfMemoryError) or told


def does_not_run(error: Exception) -> bool:
    """Did Triton fail to compile, to fit or to launch a kernel on the device (rather than the
    kernel refuse its arguments)?"""
    ours = any(kind.__name__ == "TritonError" for kind in type(error).__mro__)
    return ours or (isinstance(error, RuntimeError) and str(error).startswith("Triton Error"))


def _pool(function: Function, draw: torch.Generator, device: torch.device) -> Compared:
    tokens = _random(draw, device, 70, 2, 24).requires_grad_()
    chunk = (torch.arange(70, device=device) // 16).clamp(max=3)
    found: list[tuple[Tensor, float]] = []
    for normalise in (False, True):
        pooled = function(tokens, chunk, 5, normalise)
        (slope,) = torch.autograd.grad(pooled.square().sum() + pooled[0, 0, 0], tokens)
        found += [(pooled.detach(), _NEAR), (slope, _ROUNDED)]
    return found


def _score(function: Function, draw: torch.Generator, device: torch.device) -> Compared:
    queries = _random(draw, device, 3, 20, 96).float() / 10
    keys = _random(draw, device, 200, 96)
    codes = (keys * 40).to(torch.int8)
    scales = _random(draw, device, 200).float().abs() / 40
    allowed = torch.arange(200, device=device) % 3 > 0
    lengths = [20, 1, 7]
    some = [
        function(queries, keys, lengths),
        function(queries, keys.half(), lengths),
        function(queries, keys.float(), lengths, None, allowed, "mean"),
        function(queries, codes, lengths, scales, allowed),
    ]
    return [(one, 10 * _NEAR) for one in some]


def _document(function: Function, draw: torch.Generator, device: torch.device) -> Compared:
    scores = _random(draw, device, 2, 300).float()
    owner = torch.arange(300, device=device) // 7
    return [(one, 0.0) for one in function(scores, owner, 50)]


def _top(function: Function, draw: torch.Generator, device: torch.device) -> Compared:
    scores = _random(draw, device, 2, 3000).float().round()  # many are equal
    precedence = torch.arange(3000, device=device) * 7 % 3000
    return [(one, 0.0) for one in (*function(scores, 20), *function(scores, 20, precedence))]


def _attention(function: Function, draw: torch.Generator, device: torch.device) -> Compared:
    """A decode step over many chunks, and a prefill with its gradients."""
    found: list[tuple[Tensor, float]] = []
    for spans in (Spans.of([1, 1], [1100, 3], [5, 9]), Spans.of([20, 40], [70, 5], [20, 90])):
        parts = [
            _random(draw, device, *size).requires_grad_()
            for size in (
                (sum(spans.queries), 6, 64),
                (3, 2, 64),
                (400, 2, 64),
                (sum(spans.local), 2, 64),
            )
        ]
        queries, prefix, pool, local = parts
        selected = torch.arange(sum(spans.selected), device=device) % 400
        pairs = [(part, part * 0.5) for part in (prefix, pool, local)]
        out, lse = function(queries, pairs[0], pairs[1], selected, pairs[2], spans, 0.125)
        slopes = torch.autograd.grad(out.float().square().sum(), parts)
        scale = [max(1.0, float(slope.detach().abs().max())) for slope in slopes]
        found += [(out.detach(), _ROUNDED), (lse, 100 * _NEAR)]
        found += [(s / most, _ROUNDED) for s, most in zip(slopes, scale, strict=True)]
    return found


def _memory(function: Function, draw: torch.Generator, device: torch.device) -> Compared:
    """A decode step over much memory, and a question read over little."""
    found: list[tuple[Tensor, float]] = []
    for before, new, local in ((1100, 1, 9), (5, 20, 30)):
        queries = _random(draw, device, 6, new, 64)
        keys, values = _random(draw, device, 2, 2, before + local, 64)
        found.append((function(queries, keys, values, before, 0.5), _ROUNDED))
    return found


def _random(draw: torch.Generator, device: torch.device, *size: int) -> Tensor:
    return torch.randn(size, generator=draw).to(device, torch.bfloat16)


_KERNELS = {
    "pool_chunks": _Kernel("triton_pooling", pooling_reference.pool_chunks, _pool),
    "score_chunks": _Kernel("triton_scoring", ranking_reference.score_chunks, _score),
    "document_best": _Kernel("triton_scoring", ranking_reference.document_best, _document),
    "top_k": _Kernel("triton_topk", ranking_reference.top_k, _top),
    "gather_attention": _Kernel("triton_attention", gather.gather_attention, _attention),
    "attend_memory": _Kernel("triton_attention", attention.attend_memory, _memory),
}
NAMES = tuple(_KERNELS)
"""Of all kernels."""
