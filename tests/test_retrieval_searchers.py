"""FAISS indexes against looking at every vector: exact where they promise it, masks respected."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from memsvc.retrieval.paths import IndexKind, PathSettings
from memsvc.retrieval.searchers import Cells, Flat, Searcher, exact, faiss, make_searcher

FLAT = PathSettings("rag")
ROUNDING = 1e-6  # vectors nearer to each other than this may change places


def cloud(count: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors around a few hundred centres."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((300, width))
    made = centres[random.integers(0, 300, count)] + random.standard_normal((count, width))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def agrees(vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> None:
    """Flat finds exactly what a product in double precision ranks first, in that order."""
    searcher = Flat(vectors.shape[1])
    searcher.follow(vectors)
    for query in queries:
        rows, scores = searcher.search(query, k, None, FLAT)
        right = vectors.astype(np.float64) @ query.astype(np.float64)
        best = np.argsort(-right, kind="stable")[: k + 1]
        np.testing.assert_allclose(scores, right[best[:k]], atol=ROUNDING)
        apart = np.diff(-right[best]) > ROUNDING
        sure = apart & np.concatenate([[True], apart[:-1]])
        assert (rows == best[:k])[sure].all()
        assert sure.mean() > 0.5


def test_flat_agrees_with_brute_force() -> None:
    vectors = cloud(5000, 64)
    agrees(vectors, cloud(50, 64, seed=1), 10)


@pytest.mark.slow
def test_flat_agrees_with_brute_force_over_100k_vectors() -> None:
    vectors = cloud(100_000, 384)
    agrees(vectors, cloud(100, 384, seed=1), 10)


@pytest.mark.gpu
@pytest.mark.skipif(not faiss.get_num_gpus(), reason="no faiss-gpu, or no GPU")
def test_a_gpu_finds_what_the_processor_finds() -> None:
    agrees(cloud(5000, 64), cloud(50, 64, seed=1), 10)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_only_what_is_allowed_is_found(kind: IndexKind) -> None:
    vectors = cloud(3000, 32)
    searcher = make_searcher(kind, 32)
    searcher.follow(vectors)
    allowed = np.zeros(3000, np.bool_)
    allowed[::3] = True
    for query in cloud(20, 32, seed=1):
        rows, _ = searcher.search(query, 10, allowed, FLAT)
        right, _ = exact(vectors, query, 10, allowed)
        assert allowed[rows].all()
        assert len(set(rows.tolist()) & set(right.tolist())) >= (8 if kind == "hnsw" else 10)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_rows_added_later_are_found(kind: IndexKind) -> None:
    vectors = cloud(2000, 32)
    searcher = make_searcher(kind, 32)
    for end in (1, 500, 1999, 2000):
        searcher.follow(vectors[:end])
        rows, scores = searcher.search(vectors[end - 1], 1, None, FLAT)
        assert (searcher.count, rows[0]) == (end, end - 1)
        assert scores[0] == pytest.approx(1, abs=1e-5)


def test_cells_are_drawn_once_there_are_vectors_enough_and_anew_when_outgrown() -> None:
    vectors = cloud(25_000, 8)
    searcher = Cells(8)
    searcher.follow(vectors[:20_000])
    assert searcher.bytes == 20_000 * 8 * 4  # flat: nothing but the vectors
    searcher.follow(vectors)
    drawn = searcher.bytes
    assert drawn > 25_000 * (8 * 4 + 8)
    queries = cloud(50, 8, seed=1)
    few = [
        recall(searcher, vectors, q, PathSettings("rag", index="ivf", nprobe=1)) for q in queries
    ]
    all_cells = PathSettings("rag", index="ivf", nprobe=10_000)
    assert np.mean(few) < 1
    assert [recall(searcher, vectors, q, all_cells) for q in queries] == [1.0] * 50
    grown = np.concatenate([vectors, cloud(75_000, 8, seed=2)])
    searcher.follow(grown)
    assert searcher.bytes - 100_000 * (8 * 4 + 8) > drawn - 25_000 * (8 * 4 + 8)  # more cells
    assert [recall(searcher, grown, q, all_cells) for q in queries] == [1.0] * 50


def test_a_graph_finds_nearly_all_and_more_when_it_looks_further() -> None:
    vectors = cloud(5000, 32)
    searcher = make_searcher("hnsw", 32)
    searcher.follow(vectors)
    queries = cloud(50, 32, seed=1)
    near = [recall(searcher, vectors, q, PathSettings("rag", ef_search=10)) for q in queries]
    far = [recall(searcher, vectors, q, PathSettings("rag", ef_search=400)) for q in queries]
    assert np.mean(near) < np.mean(far)
    assert np.mean(far) > 0.98


def recall(
    searcher: Searcher, vectors: NDArray[np.float32], query: NDArray[np.float32], how: PathSettings
) -> float:
    """The share of the ten nearest that is found."""
    rows, _ = searcher.search(query, 10, None, how)
    right, _ = exact(vectors, query, 10, None)
    return len(set(rows.tolist()) & set(right.tolist())) / 10
