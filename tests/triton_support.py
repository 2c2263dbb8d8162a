"""Triton kernels without a GPU: launches are recorded with their real arguments, then compiled.

What is compiled is what a GPU would run: types, constants and alignment are those of the launch.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import triton
from memsvc_kernels import triton_common
from torch import Tensor
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

INTERPRETED = triton_common.INTERPRETED
ON_GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    ],
)
# In the interpreter (test_triton_interpreted.py) tensors are the CPU's; otherwise a GPU's.
DEVICES = ["cpu"] if INTERPRETED else [ON_GPU]

_TYPES = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int8: "*i8",
    torch.uint8: "*u8",
    torch.int32: "*i32",
    torch.int64: "*i64",
}


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel, as the launcher asked for it."""

    kernel: Any
    args: tuple[Any, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Use:
    """What one program of a compiled kernel takes. spilled: bytes stored and loaded, both."""

    registers: int
    spilled: int
    shared: int


def launches(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> list[Launch]:
    """What `call` launches; nothing runs, so that its results mean nothing."""
    found: list[Launch] = []

    def record(kernel: Any, grid: Any, like: Tensor, *args: Any, **options: Any) -> None:
        del grid, like
        found.append(Launch(kernel, args, options))

    monkeypatch.setattr(triton_common, "launch", record)
    call()
    return found


def compiled(launch: Launch, capability: int, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Compile a launch for a GPU of this compute capability (80, 90) and say what it takes."""
    kernel, options = launch.kernel, {**launch.options, **triton_common.OPTIONS}
    names = kernel.arg_names
    given = dict(zip(names, launch.args, strict=False))
    constants = {name: options.pop(name) for name in list(options) if name in names}
    constants |= {name: 1 for name, value in given.items() if _is_one(value)}
    source = ASTSource(
        fn=kernel,
        signature={n: "constexpr" if n in constants else _type(given[n]) for n in names},
        constexprs=constants,
        attrs={
            (at,): [["tt.divisibility", 16]] for at, name in enumerate(names) if _even(given, name)
        },
    )
    monkeypatch.setattr(knobs.compilation, "always_compile", True)
    monkeypatch.setattr(knobs.nvidia, "dump_ptxas_log", True)
    log = io.StringIO()
    with redirect_stdout(log):
        target = GPUTarget("cuda", capability, 32)
        binary = triton.compile(source, target=target, options=options)
    registers = re.search(r"Used (\d+) registers", log.getvalue())
    assert registers, log.getvalue()
    spills = re.findall(r"(\d+) bytes spill", log.getvalue())
    return Use(int(registers[1]), sum(map(int, spills)), binary.metadata.shared)


def _type(value: object) -> str:
    if isinstance(value, Tensor):
        return _TYPES[value.dtype]
    return "i32" if isinstance(value, int) else "fp32"


def _is_one(value: object) -> bool:
    """Triton makes a constant of it."""
    return isinstance(value, int) and value == 1


def _even(given: dict[str, Any], name: str) -> bool:
    """Is it an aligned pointer, or a multiple of 16? (Triton tells kernels so.)"""
    value = given.get(name)
    return isinstance(value, Tensor) or (isinstance(value, int) and value % 16 == 0)
