"""Routing picks the documents that exact arithmetic picks, with ties and masks settled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memsvc_kernels import collapse_queries, document_max, route, route_layer, top_documents


def bank(chunks: int, documents: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    keys = rng.standard_normal((chunks, width)).astype(np.float32)
    return keys, np.sort(rng.integers(0, documents, chunks))


@settings(deadline=None, max_examples=40)
@given(
    chunks=st.integers(1, 200),
    documents=st.integers(1, 60),
    k=st.integers(1, 70),
    seed=st.integers(0, 1000),
)
def test_routes_equal_brute_force(chunks: int, documents: int, k: int, seed: int) -> None:
    keys, owner = bank(chunks, documents, 16, seed)
    queries = np.random.default_rng(seed + 1).standard_normal((2, 16)).astype(np.float32)
    allowed = np.random.default_rng(seed + 2).random(documents) < 0.8
    found, scores, winners = route(queries, keys, owner, allowed, k)
    exact = queries.astype(np.float64) @ keys.T.astype(np.float64)
    for row in range(2):
        best: dict[int, float] = {}
        for chunk, document in enumerate(owner.tolist()):
            if allowed[document]:
                best[document] = max(best.get(document, -np.inf), exact[row, chunk])
        expected = sorted(best, key=lambda d: -best[d])[:k]
        size = len(expected)
        assert found[row, :size].tolist() == expected
        assert (found[row, size:] == -1).all()
        np.testing.assert_allclose(scores[row, :size], [best[d] for d in expected], atol=1e-5)
        assert owner[winners[row, :size]].tolist() == expected


def test_ties_go_to_the_earlier_document_whatever_k_is() -> None:
    keys = np.ones((10, 4), np.float32)
    owner = np.arange(10)
    for k in range(1, 11):
        found, _, _ = route(np.ones((1, 4), np.float32), keys, owner, None, k)
        assert found[0].tolist() == list(range(k))


@pytest.mark.parametrize("queries", [1, 2, 16])
@pytest.mark.parametrize("chunks", [3, 1023, 1025, 2049])
def test_equal_keys_tie_wherever_they_stand(queries: int, chunks: int) -> None:
    rng = np.random.default_rng(0)
    keys = np.repeat(rng.standard_normal((1, 1152)).astype(np.float32), chunks, 0)
    asked = rng.standard_normal((queries, 1152)).astype(np.float32)
    precedence = rng.permutation(chunks)
    found, scores, _ = route(asked, keys, np.arange(chunks), None, chunks, precedence)
    for row in range(queries):
        assert precedence[found[row]].tolist() == list(range(chunks))
        assert len(set(scores[row].tolist())) == 1
    by_layer = route_layer(asked[:, None], keys, np.arange(chunks), None, 3, precedence=precedence)
    assert precedence[by_layer[0][0]].tolist() == [0, 1, 2]


def test_a_precedence_settles_ties_whatever_the_numbering() -> None:
    keys = np.ones((10, 4), np.float32)
    precedence = np.array([5, 3, 8, 1, 9, 0, 7, 2, 6, 4])
    for k in range(1, 11):
        found, _, _ = route(np.ones((1, 4), np.float32), keys, np.arange(10), None, k, precedence)
        assert precedence[found[0]].tolist() == list(range(k))


@pytest.mark.parametrize("query_reduce", ["max", "mean"])
@pytest.mark.parametrize("chunk_reduce", ["max", "mean"])
@pytest.mark.parametrize("rows", [1, 3])
def test_routing_by_one_layer_equals_brute_force(
    query_reduce: str, chunk_reduce: str, rows: int
) -> None:
    keys, owner = bank(90, 20, 8, 1)
    queries = np.random.default_rng(2).standard_normal((5, rows, 8)).astype(np.float32)
    allowed = np.arange(20) % 4 != 0
    found, scores, chunks = route_layer(
        queries, keys, owner, allowed, 6, query_reduce, chunk_reduce
    )
    by_token = np.einsum("mjw,cw->cmj", queries.astype(np.float64), keys).max(2)
    by_chunk = getattr(by_token, query_reduce)(axis=1)
    documents = {
        int(d): float(getattr(by_chunk[owner == d], chunk_reduce)())
        for d in np.unique(owner)
        if allowed[d]
    }
    expected = sorted(documents, key=lambda d: -documents[d])[:6]
    assert found[0].tolist() == expected
    np.testing.assert_allclose(scores[0], [documents[d] for d in expected], atol=1e-5)
    for document, chunk in zip(found[0], chunks[0], strict=True):
        assert owner[chunk] == document
        assert by_chunk[chunk] == by_chunk[owner == document].max()


def test_a_layer_without_tokens_or_with_another_width_is_refused() -> None:
    keys, owner = bank(9, 3, 8, 1)
    for shape in ((0, 1, 8), (2, 1, 7)):
        with pytest.raises(ValueError, match="queries"):
            route_layer(np.zeros(shape, np.float32), keys, owner, None, 2)


def test_half_precision_keys_give_the_scores_of_widened_keys() -> None:
    keys, owner = bank(70_000, 500, 8, 3)  # more chunks than one tile
    half = keys.astype(np.float16)
    queries = np.ones((1, 8), np.float32)
    a = route(queries, half, owner, None, 16)
    b = route(queries, half.astype(np.float32), owner, None, 16)
    assert a[0].tolist() == b[0].tolist()
    np.testing.assert_array_equal(a[1], b[1])


def test_an_empty_bank_routes_to_nothing() -> None:
    keys, owner = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    found, scores, chunks = route(np.ones((1, 4), np.float32), keys, owner, None, 3)
    assert found.tolist() == [[-1, -1, -1]]
    assert np.isneginf(scores).all()
    assert (chunks == -1).all()


@pytest.mark.parametrize("k", [0, -1])
def test_a_senseless_k_is_refused(k: int) -> None:
    keys, owner = bank(4, 2, 4, 0)
    with pytest.raises(ValueError, match="k="):
        route(np.ones((1, 4), np.float32), keys, owner, None, k)


def test_the_collapsed_product_is_the_mean_cosine_over_heads() -> None:
    torch.manual_seed(0)
    queries, keys = torch.randn(5, 8, 16), torch.randn(30, 2, 16)
    unit = torch.nn.functional.normalize(keys, dim=-1)
    collapsed = collapse_queries(queries, 2) @ unit.reshape(30, -1).T
    heads = torch.nn.functional.normalize(queries, dim=-1)
    each = torch.einsum("mhd,chd->mhc", heads, unit.repeat_interleave(4, dim=1))
    torch.testing.assert_close(collapsed, each.mean(1), atol=1e-6, rtol=0)


def test_document_max_and_top_documents_agree_with_loops() -> None:
    torch.manual_seed(0)
    owner = torch.tensor([0, 0, 1, 2, 2, 2])
    scores = torch.randn(3, 6)
    best = document_max(scores, owner, 3)
    for m in range(3):
        for d in range(3):
            assert best[m, d] == scores[m, owner == d].max()
    order, values = top_documents(best, 2)
    assert torch.equal(values, best.gather(1, order))
    assert (values[:, 0] >= values[:, 1]).all()
