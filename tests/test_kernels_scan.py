"""A scan at 8 bits finds what exact arithmetic finds, with its scores, ties and masks."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memsvc_kernels import route, route_layer, scan
from memsvc_kernels.scan import quantise, route_codes, route_layer_codes

LAYERS, WIDTH = 3, 24
SPREAD = np.array([0.2, 1.0, 3.0], np.float32)[:, None]  # layers differ in size, as they do


class Bank:
    """Random keys, some of them twice, in random documents; multiples of 1/16, so that sums are
    the same in every order."""

    def __init__(self, chunks: int, documents: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        keys = np.rint(rng.standard_normal((chunks, LAYERS, WIDTH)) * SPREAD * 16) / 16
        keys[rng.random(chunks) < 0.2] = keys[0]
        keys[rng.random(chunks) < 0.05] = 0
        self.keys = keys.astype(np.float16)
        self.owner = np.sort(rng.integers(0, documents, chunks)).astype(np.int64)
        self.allowed = rng.random(documents) < 0.8
        self.precedence = rng.permutation(documents)
        self.queries = (rng.integers(-40, 40, (2, LAYERS, WIDTH)) / 16).astype(np.float32)
        self.read: list[int] = []

    def exact(self, documents: Sequence[int]) -> list[np.ndarray]:
        self.read += documents
        return [self.keys[self.owner == d] for d in documents]


@pytest.mark.parametrize("whole", [True, False])  # both ways to multiply, whatever this CPU has
@settings(deadline=None, max_examples=40)
@given(
    chunks=st.integers(1, 300),
    documents=st.integers(1, 120),
    k=st.integers(1, 70),
    seed=st.integers(0, 1000),
)
def test_the_scan_routes_as_exact_arithmetic_does(
    whole: bool, chunks: int, documents: int, k: int, seed: int
) -> None:
    bank = Bank(chunks, documents, seed)
    rest = (bank.owner, bank.allowed, k, bank.precedence)
    with patch.object(scan, "whole_numbers", lambda: whole):
        found = route_codes(bank.queries, quantise(bank.keys), bank.exact, *rest)
    flat = bank.keys.reshape(chunks, -1).astype(np.float32)
    wanted = route(bank.queries.reshape(2, -1), flat, *rest)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(found[2], wanted[2])


def test_only_the_best_documents_are_read_exactly() -> None:
    bank = Bank(3000, 1500, seed=3)
    codes = quantise(bank.keys)
    found, scores, _ = route_codes(bank.queries[:1], codes, bank.exact, bank.owner, None, 5)
    assert len(bank.read) == len(set(bank.read)) == 48
    assert set(found[0].tolist()) <= set(bank.read)
    assert (np.diff(scores[0]) <= 0).all()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("query_reduce", ["max", "mean"])
@pytest.mark.parametrize("chunk_reduce", ["max", "mean"])
def test_one_layer_is_routed_as_exact_arithmetic_does(
    whole: bool, query_reduce: str, chunk_reduce: str
) -> None:
    bank = Bank(400, 150, seed=6)
    queries = np.random.default_rng(7).integers(-40, 40, (5, 3, WIDTH)).astype(np.float32)
    rest = (bank.owner, bank.allowed, 16, query_reduce, chunk_reduce, bank.precedence)
    with patch.object(scan, "whole_numbers", lambda: whole):
        found = route_layer_codes(queries, quantise(bank.keys), 1, bank.exact, *rest)
    wanted = route_layer(queries, bank.keys[:, 1].astype(np.float32), *rest)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_the_best_are_found_among_many_tiles(whole: bool) -> None:
    rng = np.random.default_rng(4)
    keys = (rng.standard_normal((9000, LAYERS, WIDTH)) * SPREAD).astype(np.float16)
    queries = rng.standard_normal((3, LAYERS, WIDTH)).astype(np.float32)
    owner = np.arange(9000) // 2

    def exact(documents: Sequence[int]) -> list[np.ndarray]:
        return [keys[2 * d : 2 * d + 2] for d in documents]

    with patch.object(scan, "whole_numbers", lambda: whole):
        found = route_codes(queries, quantise(keys), exact, owner, None, 16)
    wanted = route(queries.reshape(3, -1), keys.reshape(9000, -1), owner, None, 16)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[2], wanted[2])


def test_scanning_leaves_torch_its_threads() -> None:
    before, bank = torch.get_num_threads(), Bank(9000, 10, 0)
    route_codes(bank.queries, quantise(bank.keys), bank.exact, bank.owner, None, 1)
    assert torch.get_num_threads() == before


def test_shapes_that_do_not_agree_are_refused() -> None:
    bank = Bank(10, 5, seed=5)
    codes = quantise(bank.keys)
    for queries, k in ((bank.queries[:, :2], 3), (bank.queries[:, :, :8], 3), (bank.queries, 0)):
        with pytest.raises(ValueError, match="queries"):
            route_codes(queries, codes, bank.exact, bank.owner, None, k)
