"""A key table routes alike, whether its exact keys are in memory or were left at rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from memsvc_router.api import RouteRule
from numpy.typing import NDArray

from memsvc.engine.keys import KeyTable, Owners

LAYERS, WIDTH = 2, 16
MUCH = 1 << 30


def table(keys: NDArray[np.float16], exact_bytes: int, step: int = 300) -> KeyTable:
    made = KeyTable(keys.shape[1:], keys.dtype, exact_bytes)
    for at in range(0, len(keys), step):
        made.extend(keys[at : at + step])
    return made


@pytest.fixture
def keys() -> NDArray[np.float16]:
    return np.random.default_rng(1).standard_normal((3000, LAYERS, WIDTH)).astype(np.float16)


@pytest.mark.parametrize("chunks", [1, 500, 1023, 1024, 3000])
@pytest.mark.parametrize("exact_bytes", [MUCH, 100_000, 0])
def test_it_finds_the_same_documents(
    keys: NDArray[np.float16], chunks: int, exact_bytes: int
) -> None:
    some = keys[:chunks]
    owners = Owners(np.arange(chunks) // 2, np.ones(chunks, np.bool_), np.arange(chunks))
    queries = np.random.default_rng(2).standard_normal((2, LAYERS, WIDTH)).astype(np.float32)
    read: list[int] = []

    def exact(documents: Sequence[int]) -> list[NDArray[np.float16]]:
        read.extend(documents)
        return [some[2 * d : 2 * d + 2] for d in documents]

    now = table(some, exact_bytes).now()
    found = now.route(queries, owners, 10, exact)
    wanted = np.einsum("mlr,clr->mc", queries.astype(np.float64), some.astype(np.float64))
    for row, documents in enumerate(found[0]):
        best = [int(c) // 2 for c in np.argsort(-wanted[row])]
        expected = list(dict.fromkeys(best))[:10]
        assert documents[documents >= 0].tolist() == expected
    layer = now.route_layer(1, queries[:1, 1:], owners, 10, RouteRule(), exact)
    own = np.argsort(-(some[:, 1].astype(np.float64) @ queries[0, 1].astype(np.float64)))
    assert layer[0][0][layer[0][0] >= 0].tolist() == list(dict.fromkeys((own // 2).tolist()))[:10]
    assert bool(read) == (chunks >= 1024)


def test_exact_keys_beyond_the_bound_are_not_kept(keys: NDArray[np.float16]) -> None:
    assert table(keys[:500], 0).now().rows is not None  # small: they are what it is routed by
    assert table(keys, 0).now().rows is None
    assert table(keys, keys.nbytes).now().rows is not None
    assert table(keys, keys.nbytes - 1).now().rows is None


@pytest.mark.parametrize("exact_bytes", [MUCH, 0])
def test_a_copy_of_some_grows_on(keys: NDArray[np.float16], exact_bytes: int) -> None:
    made = table(keys, exact_bytes)
    copy = made.kept(np.arange(3000) % 4 == 0)
    copy.extend(keys[:10])
    made.extend(keys[:10])
    assert (len(copy), len(made)) == (760, 3010)
    now = copy.now()
    assert now.codes is not None
    assert len(now.codes) == 760
    np.testing.assert_array_equal(now.codes.scales[750:], table(keys, 0).now().codes.scales[:10])  # type: ignore[union-attr]
