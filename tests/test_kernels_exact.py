"""Exact routing finds what fp32 products over all keys find, also what a scan at 8 bits loses."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memsvc_kernels import (
    Codes,
    codes_of,
    eight_bits,
    four_more,
    route,
    route_codes,
    route_exactly,
    route_layer,
    route_layer_codes,
    route_layer_exactly,
)

LAYERS, WIDTH = 3, 25
LOST = 150  # the document that a scan loses


def kept(keys: np.ndarray) -> Codes:
    codes, scales = eight_bits(keys)
    return codes_of(codes, scales, four_more(keys, codes, scales))


def misleading(layers: int = 1) -> tuple[np.ndarray, Codes]:
    """A query [1, layers, 16] and 300 documents of a chunk, the best of which looks like the worst
    at 8 bits: its values are rounded down to nothing, those of all the others up to 1."""
    query = np.ones((1, layers, 16), np.float32)
    query[..., 0] = 0  # not asked for; it sets the scale to 1
    keys = np.zeros((300, layers, 16), np.float32)
    keys[..., 0] = 127
    keys[..., 1:5] = 9 / 16
    keys[LOST, :, 1:9] = 7 / 16
    return query, kept(keys)


def test_what_a_scan_loses_is_found() -> None:
    query, codes = misleading()
    owner = np.arange(300)
    assert LOST not in route_codes(query, codes, owner, None, 16)[0]
    documents, scores, chunks = route_exactly(query, codes, owner, None, 16)
    assert (documents[0, 0], scores[0, 0], chunks[0, 0]) == (LOST, 3.5, LOST)
    assert documents[0, 1:].tolist() == list(range(15))  # all others tie


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_what_a_scan_of_one_layer_loses_is_found(reduce: str) -> None:
    query, codes = misleading(2)
    rest = (np.arange(300), None, 16, reduce, reduce)
    assert LOST not in route_layer_codes(query, codes, 1, *rest)[0]
    documents, scores, _ = route_layer_exactly(query[:, :1], codes, 1, *rest)
    assert (documents[0, 0], scores[0, 0]) == (LOST, 3.5)


@pytest.mark.parametrize("apart", [True, False])  # each layer's keys for itself, or not
@settings(deadline=None, max_examples=30)
@given(
    chunks=st.integers(1, 300),
    documents=st.integers(1, 120),
    k=st.integers(1, 70),
    seed=st.integers(0, 1000),
)
def test_it_is_fp32_arithmetic_to_the_last_bit(
    apart: bool, chunks: int, documents: int, k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.standard_normal((chunks, LAYERS, WIDTH))
    keys[rng.random(chunks) < 0.2] = keys[0]
    owner = np.sort(rng.integers(0, documents, chunks)).astype(np.int64)
    allowed, order = rng.random(documents) < 0.8, rng.permutation(documents)
    rest, by_layer = (owner, allowed, k, order), (owner, allowed, k, "mean", "max", order)
    queries = rng.standard_normal((2, LAYERS, WIDTH)).astype(np.float32)
    with patch("memsvc_kernels.codes._SHORT", 0 if apart else 2048):
        codes = kept(keys)
        found = route_exactly(queries, codes, *rest)
        in_layer = route_layer_exactly(queries, codes, 1, *by_layer)
    wide = codes.keys(np.arange(chunks))
    flat = wide.reshape(chunks, -1)
    for ours, wanted in (
        (found, route(queries.reshape(2, -1), flat, *rest)),
        (in_layer, route_layer(queries, wide[:, 1].copy(), *by_layer)),
    ):
        for mine, right in zip(ours, wanted, strict=True):
            np.testing.assert_array_equal(mine, right)


def test_some_rows_are_routed_over_as_if_there_were_no_others() -> None:
    rng = np.random.default_rng(2)
    keys, query = rng.standard_normal((90, LAYERS, WIDTH)), np.ones((1, LAYERS, WIDTH), np.float32)
    owner, allowed = np.arange(90) // 3, np.arange(30) % 4 == 0
    rows = np.flatnonzero(allowed[owner])
    codes = kept(keys)
    for ours, wanted in (
        (
            route_exactly(query, codes, owner, allowed, 12, rows=rows),
            route_exactly(query, codes, owner, allowed, 12),
        ),
        (
            route_layer_exactly(query, codes, 2, owner, allowed, 12, rows=rows),
            route_layer_exactly(query, codes, 2, owner, allowed, 12),
        ),
    ):
        assert wanted[0][0, -1] == -1  # there are but 8
        np.testing.assert_array_equal(ours[0], wanted[0])
        np.testing.assert_allclose(ours[1], wanted[1], rtol=1e-5)
        np.testing.assert_array_equal(ours[2], wanted[2])


def test_keys_are_never_widened_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks, widened = 60_000, []
    whole = Codes.keys

    def watched(self: Codes, some: slice) -> np.ndarray:
        keys = whole(self, some)
        widened.append(len(keys))
        return keys

    monkeypatch.setattr(Codes, "keys", watched)
    codes = codes_of(np.ones((chunks, 1, 8), np.int8), np.ones((chunks, 1), np.float32))
    route_exactly(np.ones((1, 1, 8), np.float32), codes, np.arange(chunks), None, 4)
    assert sum(widened) >= chunks
    assert max(widened) <= chunks / 10


def test_shapes_that_do_not_agree_are_refused() -> None:
    query, codes = misleading(2)
    owner = np.arange(300)
    for asked, of, k in ((query[:, :1], owner, 3), (query, owner[:-1], 3), (query, owner, 0)):
        with pytest.raises(ValueError, match="queries"):
            route_exactly(asked, codes, of, None, k)
    for asked, of, k in ((query[..., :8], owner, 3), (query, owner[:-1], 3), (query, owner, 0)):
        with pytest.raises(ValueError, match="queries"):
            route_layer_exactly(asked, codes, 1, of, None, k)
