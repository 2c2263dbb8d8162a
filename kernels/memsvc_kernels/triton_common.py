"""What the Triton kernels share: launching, and products of tiles. Knows no kernel.

Legend of all kernels: names in capitals are known at compile time. WIDE: operands of products are
widened to fp32 first, which the interpreter needs (its bf16 arithmetic is wrong) and a GPU is not
to do (its tensor cores take the narrow types).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import knobs

INTERPRETED: bool = knobs.runtime.interpret  # as it was when the kernels were decorated
OPTIONS = {"enable_fp_fusion": True}  # of every kernel; versions of Triton differ in the default


def launch(kernel: Any, grid: tuple[int, ...], like: Tensor, *args: object, **options: Any) -> None:
    """Run a kernel on the device of `like`, which need not be torch's current one; a grid without
    programs, which CUDA would refuse, is nothing to do."""
    if 0 in grid:
        return
    with torch.cuda.device(like.device) if like.is_cuda else nullcontext():
        kernel[grid](*args, **options, **OPTIONS)


def power_of_two(size: int, least: int = 1) -> int:
    """The smallest power of two that is at least `size` and `least`."""
    return max(least, 1 << max(size - 1, 0).bit_length())


def square(width: int, dtype: torch.dtype) -> int:
    """How many rows of attention are held at a time: as many as spill no registers."""
    values = 8192 if dtype.itemsize < 4 else 2048
    return max(16, min(64, values // power_of_two(width)))


@triton.jit
def product(a: tl.tensor, b: tl.tensor, total: tl.tensor, WIDE: tl.constexpr) -> tl.tensor:  # noqa: N803
    """total + a @ b, accumulated in fp32; fp32 operands keep (nearly) all their bits."""
    if WIDE:
        total += tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    else:
        total = tl.dot(a, b, total, input_precision="tf32x3")
    return total
