"""A scan at 8 bits finds what exact arithmetic finds, with its scores, ties and masks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memsvc_kernels import (
    codes_of,
    eight_bits,
    four_more,
    full_width,
    products,
    route,
    route_codes,
    route_layer,
    route_layer_codes,
)

LAYERS, WIDTH = 3, 24
SPREAD = np.array([0.2, 1.0, 3.0], np.float32)[:, None]  # layers differ in size, as they do


class Bank:
    """Random keys, some of them twice, in random documents; scales are powers of two, so that sums
    are the same in every order."""

    def __init__(self, chunks: int, documents: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        keys = rng.standard_normal((chunks, LAYERS, WIDTH)) * SPREAD
        keys[rng.random(chunks) < 0.2] = keys[0]
        keys[rng.random(chunks) < 0.05] = 0
        codes, scales = eight_bits(keys)
        scales = np.exp2(np.rint(np.log2(scales)))
        self.codes = codes_of(codes, scales)
        self.keys = full_width(codes, scales)
        self.owner = np.sort(rng.integers(0, documents, chunks)).astype(np.int64)
        self.allowed = rng.random(documents) < 0.8
        self.precedence = rng.permutation(documents)
        self.queries = (rng.integers(-40, 40, (2, LAYERS, WIDTH)) / 16).astype(np.float32)


APART = pytest.mark.parametrize("apart", [True, False])  # each layer's keys for itself, or not


@pytest.mark.parametrize("whole", [True, False])  # both ways to multiply, whatever this CPU has
@APART
@settings(deadline=None, max_examples=40)
@given(
    chunks=st.integers(1, 300),
    documents=st.integers(1, 120),
    k=st.integers(1, 70),
    seed=st.integers(0, 1000),
)
def test_the_scan_routes_as_exact_arithmetic_does(
    whole: bool, apart: bool, chunks: int, documents: int, k: int, seed: int
) -> None:
    with _ways(whole, apart):
        bank = Bank(chunks, documents, seed)
        rest = (bank.owner, bank.allowed, k, bank.precedence)
        found = route_codes(bank.queries, bank.codes, *rest)
    flat = bank.keys.reshape(chunks, -1)
    wanted = route(bank.queries.reshape(2, -1), flat, *rest)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(found[2], wanted[2])


@contextmanager
def _ways(whole: bool, apart: bool = False) -> Iterator[None]:
    with (
        patch.object(products, "whole_numbers", lambda _: whole),
        patch("memsvc_kernels.codes._SHORT", 0 if apart else 2048),
    ):
        yield


def test_values_are_off_by_at_most_half_a_scale() -> None:
    values = np.random.default_rng(3).standard_normal((50, LAYERS, WIDTH)).astype(np.float16)
    values[7] = 0
    codes, scales = eight_bits(values * SPREAD)
    assert codes.dtype == np.int8
    off = np.abs(full_width(codes, scales) - values * SPREAD)
    assert (off <= scales[..., None] / 2 * 1.001).all()


@pytest.mark.parametrize("width", [WIDTH, WIDTH + 1])
def test_four_more_bits_bring_values_sixteen_times_as_close(width: int) -> None:
    values = np.random.default_rng(3).standard_normal((50, LAYERS, width)) * SPREAD
    values[7] = 0
    codes, scales = eight_bits(values)
    finer = four_more(values, codes, scales)
    assert finer.shape == (50, LAYERS, (width + 1) // 2)
    off = np.abs(full_width(codes, scales, finer) - values)
    assert (off <= scales[..., None] / 16 * 1.001).all()
    assert (off[7] == 0).all()
    far = off > scales[..., None] / 32 * 1.001
    assert far.mean() < 0.05  # those that lay halfway


def test_documents_that_all_but_tie_keep_their_order() -> None:
    rng = np.random.default_rng(8)
    query = rng.standard_normal((1, LAYERS, WIDTH)).astype(np.float32)
    keys = query + rng.standard_normal((300, LAYERS, WIDTH)) * 0.02
    codes, scales = eight_bits(keys)
    owner = np.arange(300)
    wanted = route(query.reshape(1, -1), keys.reshape(300, -1).astype(np.float32), owner, None, 16)
    finer = four_more(keys, codes, scales)
    found = route_codes(query, codes_of(codes, scales, finer), owner, None, 16)
    coarse = route_codes(query, codes_of(codes, scales), owner, None, 16)
    kept = [len({*one[0][0]} & {*wanted[0][0]}) for one in (found, coarse)]
    assert kept[0] >= 15
    assert kept[0] > kept[1]


@pytest.mark.parametrize("whole", [True, False])
@APART
@pytest.mark.parametrize("query_reduce", ["max", "mean"])
@pytest.mark.parametrize("chunk_reduce", ["max", "mean"])
def test_one_layer_is_routed_as_exact_arithmetic_does(
    whole: bool, apart: bool, query_reduce: str, chunk_reduce: str
) -> None:
    queries = np.random.default_rng(7).integers(-40, 40, (5, 3, WIDTH)).astype(np.float32)
    with _ways(whole, apart):
        bank = Bank(400, 150, seed=6)
        rest = (bank.owner, bank.allowed, 16, query_reduce, chunk_reduce, bank.precedence)
        found = route_layer_codes(queries, bank.codes, 1, *rest)
    wanted = route_layer(queries, bank.keys[:, 1], *rest)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_the_best_are_found_among_many_tiles(whole: bool) -> None:
    bank = Bank(9000, 4000, seed=4)
    with _ways(whole):
        found = route_codes(bank.queries, bank.codes, bank.owner, None, 16)
    wanted = route(bank.queries.reshape(2, -1), bank.keys.reshape(9000, -1), bank.owner, None, 16)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[2], wanted[2])


def test_a_bank_without_keys_has_nothing_to_route_to() -> None:
    none = np.zeros((0, LAYERS), np.float32)
    bank = codes_of(np.zeros((*none.shape, WIDTH), np.int8), none)
    query, owner = np.ones((1, LAYERS, WIDTH), np.float32), np.zeros(0, np.int64)
    for found in (
        route_codes(query, bank, owner, None, 4),
        route_layer_codes(query, bank, 1, owner, None, 4),
    ):
        assert found[0].tolist() == [[-1] * 4]


def test_scanning_leaves_torch_its_threads() -> None:
    before, bank = torch.get_num_threads(), Bank(9000, 10, 0)
    route_codes(bank.queries, bank.codes, bank.owner, None, 1)
    assert torch.get_num_threads() == before


def test_shapes_that_do_not_agree_are_refused() -> None:
    bank = Bank(10, 5, seed=5)
    for queries, k in ((bank.queries[:, :2], 3), (bank.queries[:, :, :8], 3), (bank.queries, 0)):
        with pytest.raises(ValueError, match="queries"):
            route_codes(queries, bank.codes, bank.owner, None, k)
