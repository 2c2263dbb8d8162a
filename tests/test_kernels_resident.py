"""Keys on a device are scanned there: same documents, same scores, and the CPU where they do not
fit. The device is the CPU here, with plain torch in the kernels' place."""

from __future__ import annotations

import logging
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memsvc_kernels import (
    ResidentKeys,
    codes_of,
    eight_bits,
    four_more,
    resident,
    route_codes,
    route_layer_codes,
)
from memsvc_kernels.scan import Routed
from numpy.typing import NDArray

LAYERS, WIDTH = 3, 24
DEVICE = torch.device("cpu")


class Bank:
    """Random keys, some of them twice, of documents some of which are shown, on a device, too."""

    def __init__(self, chunks: int = 900, documents: int = 300, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        keys = rng.standard_normal((chunks, LAYERS, WIDTH))
        keys[rng.random(chunks) < 0.2] = keys[0]
        codes, scales = eight_bits(keys)
        self.codes = codes_of(codes, scales, four_more(keys, codes, scales))
        self.owner = np.sort(rng.integers(0, documents, chunks)).astype(np.int64)
        self.allowed = rng.random(documents) < 0.7
        self.order = rng.permutation(documents)
        self.queries = rng.standard_normal((2, LAYERS, WIDTH)).astype(np.float32)
        self.device = ResidentKeys(lambda: DEVICE)

    def routed(self, there: bool, chunks: int | None = None, k: int = 16) -> Routed:
        """Over the first so many chunks, on the device or not."""
        codes, owner = self.codes, self.owner[:chunks]
        finer = codes.finer[:chunks] if codes.finer is not None else None
        some = type(codes)([own[:chunks] for own in codes.codes], codes.scales[:chunks], finer)
        where = self.device if there else None
        rest = (owner, self.allowed, k, self.order)
        return route_codes(self.queries, some, *rest, resident=where)

    def by_layer(self, there: bool, query_reduce: str, chunk_reduce: str) -> Routed:
        tokens = np.stack([self.queries[:, 0], -self.queries[:, 1]], 1)  # 2 of 2 rows
        rest = (self.owner, self.allowed, 16, query_reduce, chunk_reduce, self.order)
        where = self.device if there else None
        return route_layer_codes(tokens, self.codes, 1, *rest, resident=where)


def assert_same(ours: Routed, wanted: Routed) -> None:
    for mine, right in zip(ours, wanted, strict=True):
        np.testing.assert_array_equal(mine, right)


@pytest.mark.parametrize("apart", [True, False])  # each layer's keys for itself, or not
@settings(deadline=None, max_examples=30)
@given(
    chunks=st.integers(1, 300),
    documents=st.integers(1, 120),
    k=st.integers(1, 70),
    seed=st.integers(0, 1000),
)
def test_the_device_finds_what_the_cpu_finds(
    apart: bool, chunks: int, documents: int, k: int, seed: int
) -> None:
    with patch("memsvc_kernels.codes._SHORT", 0 if apart else 2048):
        bank = Bank(chunks, documents, seed)
        assert_same(bank.routed(True, k=k), bank.routed(False, k=k))
    assert bank.device.nbytes > chunks * LAYERS * WIDTH


@pytest.mark.parametrize("query_reduce", ["max", "mean"])
@pytest.mark.parametrize("chunk_reduce", ["max", "mean"])
def test_one_layer_is_scanned_as_well(query_reduce: str, chunk_reduce: str) -> None:
    bank, rule = Bank(), (query_reduce, chunk_reduce)
    assert_same(bank.by_layer(True, *rule), bank.by_layer(False, *rule))
    assert bank.device.nbytes


def test_keys_are_copied_once_as_the_bank_grows() -> None:
    bank, sent = Bank(), []
    whole = torch.from_numpy

    def watched(array: NDArray[Any]) -> torch.Tensor:
        if array.dtype == np.int8:
            sent.append(len(array))
        return whole(array)

    for chunks in (100, 100, 250, 900, 400):  # the last is a view of the past
        wanted = bank.routed(False, chunks)
        with patch.object(torch, "from_numpy", watched):
            found = bank.routed(True, chunks)
        assert_same(found, wanted)
    assert sum(sent) == LAYERS * 900


def no_room(monkeypatch: pytest.MonkeyPatch, bank: Bank) -> None:
    """Half of what is free does not suffice."""
    monkeypatch.setattr(resident, "_free", lambda _: bank.codes.codes[0].nbytes)


def no_room_for_scores(monkeypatch: pytest.MonkeyPatch, bank: Bank) -> None:
    """Memory runs out after the keys were copied."""
    del bank

    def full(*_: Any, **__: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(resident, "score_chunks", full)


@pytest.mark.parametrize("fault", [no_room, no_room_for_scores])
def test_where_memory_runs_out_the_cpu_scans(
    fault: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "memsvc.kernels")
    bank = Bank()
    fault(monkeypatch, bank)
    for _ in range(2):
        assert_same(bank.routed(True), bank.routed(False))
    assert caplog.messages == ["the keys of a bank do not fit on cpu: the CPU scans them"]
    assert bank.device.nbytes == 0
    assert not bank.device.serves


def test_other_faults_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any, **__: Any) -> torch.Tensor:
        raise RuntimeError("illegal memory access")

    monkeypatch.setattr(resident, "score_chunks", wrong)
    with pytest.raises(RuntimeError, match="illegal"):
        Bank().routed(True)


def test_without_a_device_nothing_is_copied() -> None:
    bank = Bank()
    bank.device = ResidentKeys()  # there is no GPU, or none that a model uses
    assert not bank.device.serves
    assert_same(bank.routed(True), bank.routed(False))
    assert bank.device.nbytes == 0
