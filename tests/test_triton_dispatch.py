"""Who computes, and what happens when a kernel cannot: plain torch serves, and one line says so.

There is no GPU here: tensors of the CPU pass for those of one, and kernels are made up.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from memsvc_kernels import chunk_mean, kernel_check, ranking_reference, self_check, serving, top_k
from torch import Tensor

SCORES = torch.tensor([[1.0, 3.0, 2.0, 3.0]])
BEST = [1, 3]


class TritonError(Exception):
    """As Triton's own."""


@pytest.fixture(autouse=True)
def a_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Tensors are taken to lie on a GPU that nothing is known of yet."""
    monkeypatch.delenv(serving.VARIABLE, raising=False)
    monkeypatch.setattr(serving, "_passed", {})
    monkeypatch.setattr(serving, "_told", set())
    monkeypatch.setattr(serving, "_on_gpu", lambda _: True)
    monkeypatch.setattr(kernel_check, "obstacle", lambda _: None)
    caplog.set_level(logging.INFO, "memsvc.kernels")


def use(monkeypatch: pytest.MonkeyPatch, kernel: Callable[..., Any]) -> None:
    """Let this be the kernel for everything."""
    monkeypatch.setattr(kernel_check, "kernel", lambda _: kernel)


def served() -> list[int]:
    """What a caller gets."""
    return top_k(SCORES, 2)[0][0].tolist()


def test_a_kernel_that_agrees_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def kernel(scores: Tensor, k: int, precedence: Tensor | None = None) -> tuple[Tensor, Tensor]:
        calls.append(k)
        return ranking_reference.top_k(scores, k, precedence)

    use(monkeypatch, kernel)
    assert served() == served() == BEST
    assert calls[-2:] == [2, 2]
    assert calls.count(20) == 2  # checked once, with and without precedence
    assert caplog.messages == []


def test_a_kernel_that_disagrees_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(*args: Any) -> tuple[Tensor, Tensor]:
        columns, values = ranking_reference.top_k(*args)
        return columns.flip(1), values

    use(monkeypatch, wrong)
    assert served() == served() == BEST
    (line,) = caplog.messages
    assert "top_k is not used on cpu: it disagrees with plain torch" in line


@pytest.mark.parametrize("name", kernel_check.NAMES)
def test_every_check_notices_a_small_difference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cpu")
    plain = kernel_check._KERNELS[name].reference
    use(monkeypatch, plain)
    assert kernel_check.disagreement(name, device) is None

    def off(*args: Any) -> Any:
        found = plain(*args)
        return found * 1.1 if isinstance(found, Tensor) else (found[0] * 1.1, *found[1:])

    use(monkeypatch, off)
    assert "disagrees" in (kernel_check.disagreement(name, device) or "")


def test_a_kernel_that_does_not_compile_does_not_serve(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise TritonError("PTX:\nno such instruction")

    use(monkeypatch, broken)
    assert served() == served() == BEST
    (line,) = caplog.messages
    assert "TritonError: PTX: no such instruction; plain torch serves" in line


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (torch.OutOfMemoryError("full"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        (RuntimeError("Triton Error [CUDA]: too many resources requested for launch"), False),
        (TritonError("too much shared memory"), False),
    ],
)
def test_a_kernel_that_fails_later_leaves_the_work_to_plain_torch(
    error: Exception, again: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def kernel(scores: Tensor, k: int, precedence: Tensor | None = None) -> Any:
        if k == 2:
            tries.append(k)
            raise error
        return ranking_reference.top_k(scores, k, precedence)

    use(monkeypatch, kernel)
    assert served() == served() == BEST
    assert len(tries) == len(caplog.messages) == (2 if again else 1)
    assert "plain torch serves" in caplog.messages[0]


def test_a_fault_of_another_kind_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(scores: Tensor, k: int, precedence: Tensor | None = None) -> Any:
        if k == 2:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return ranking_reference.top_k(scores, k, precedence)

    use(monkeypatch, kernel)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        served()


def test_what_the_caller_did_wrong_is_told_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ranking_reference.top_k)
    with pytest.raises(ValueError, match="k=0"):
        top_k(SCORES, 0)


def test_an_obstacle_is_named_once_whatever_is_called(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kernel_check, "obstacle", lambda _: "Triton is not installed")
    assert served() == served() == BEST
    assert chunk_mean(torch.ones(2, 3), torch.zeros(2, dtype=torch.int64), 1).tolist() == [[1] * 3]
    (line,) = caplog.messages
    assert line == "kernel any is not used on cpu: Triton is not installed; plain torch serves"


def test_kernels_are_checked_at_start_and_the_log_says_who_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def kernel(name: str) -> Callable[..., Any]:
        plain = kernel_check._KERNELS[name].reference
        return plain if name != "pool_chunks" else lambda *args: plain(*args) * 1.1

    monkeypatch.setattr(kernel_check, "kernel", kernel)
    for _ in range(2):
        self_check(torch.device("cpu"))
    refused, told = caplog.messages
    assert "pool_chunks is not used on cpu: it disagrees" in refused
    assert told.startswith("kernels that serve on cpu: score_chunks, document_best, ")
    assert "pool_chunks" not in told
    monkeypatch.setattr(kernel_check, "disagreement", lambda *_: pytest.fail("checked again"))
    assert served() == BEST


def test_a_machine_without_a_gpu_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "_on_gpu", lambda _: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for _ in range(2):
        self_check(torch.device("cpu"))
    assert caplog.messages == ["no GPU: kernels are plain torch"]


def test_a_variable_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, lambda *_: (torch.tensor([[7]]), None))
    for mode, wanted in (("reference", BEST), ("triton", [7])):
        monkeypatch.setenv(serving.VARIABLE, mode)
        assert served() == wanted
    monkeypatch.setenv(serving.VARIABLE, "cuda")
    with pytest.raises(ValueError, match="auto, reference or triton, not 'cuda'"):
        served()


def test_tensors_of_the_cpu_use_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(kernel_check, "kernel", lambda _: pytest.fail("asked for a kernel"))
    assert served() == BEST


@pytest.mark.parametrize(
    ("capability", "cuda", "reason"),
    [
        ((7, 5), "12.8", "below (8, 0)"),
        ((9, 0), None, "not built for NVIDIA"),
        ((9, 0), "12.8", ""),
    ],
)
def test_old_gpus_and_other_makes_are_obstacles(
    capability: tuple[int, int], cuda: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(kernel_check, "find_spec", lambda _: object())
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    found = kernel_check.obstacle(torch.device("cuda", 0))
    assert (reason in found) if found else not reason


def test_everything_imports_and_computes_without_triton() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, memsvc_kernels as k\n"
        "print(k.top_k(torch.tensor([[1., 3., 2.]]), 2)[0].tolist())\n"
        "print(k.serving.kernel_check.obstacle(torch.device('cuda')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[[1, 2]]", "Triton is not installed"]
