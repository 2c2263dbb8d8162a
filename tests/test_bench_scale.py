"""benchmarks of scale: what banks they make, and what they say of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from memsvc_router import load_default_model

from benchmarks import growth, opening, rest_precision, targets, timing
from benchmarks.dev_sets import SETS
from benchmarks.processes import alone, resident
from benchmarks.rag import cells, flat, vectors
from benchmarks.real_bank import CORPORA, RealBank, passages_of, tokens_of
from tests.bench_support import PASSAGES, QUESTIONS, write

_PASSAGES = 12


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = CORPORA[0].read_text("utf-8").splitlines()[:_PASSAGES]
    return write(tmp_path_factory.mktemp("real") / "p.jsonl", [json.loads(line) for line in lines])


@pytest.fixture(scope="module")
def real(passages: Path) -> RealBank:
    return RealBank([passages])


@pytest.fixture(scope="module")
def tiles(real: RealBank) -> growth.Tiles:
    return growth.Tiles.of(real.keys, real.counts, real.queries)


def test_a_real_bank_is_in_fp32_and_its_blocks_are_what_became_of_it(real: RealBank) -> None:
    made = np.concatenate([block.tensors["routing"] for block in real.blocks])
    assert made.dtype == np.float16
    assert real.keys.dtype == np.float32
    assert not np.array_equal(real.keys, made)
    np.testing.assert_array_equal(real.keys.astype(np.float16), made)
    found = real.recall()
    assert found["documents"] == _PASSAGES
    assert found["recall_at_16"] == 1.0


def test_a_grown_bank_holds_the_real_keys_and_others(real: RealBank, tiles: growth.Tiles) -> None:
    chunks = 3 * len(real.keys) - 1
    parts = list(tiles.documents(chunks))
    assert [len(some) for some in parts[:2]] == [_PASSAGES] * 2
    assert sum(span.stop - span.start for some in parts for _, span, _ in some) == chunks
    codes, scales, finer = tiles.tile(2)
    turned = (np.sign(codes) * np.sign(tiles.keys[0]) < 0).sum() / (tiles.keys[0] != 0).sum()
    assert turned == pytest.approx(0.25, abs=0.05)
    np.testing.assert_array_equal(scales, tiles.keys[1])
    assert np.isin(finer, np.concatenate((tiles.keys[2], tiles.changed[2]))).all()
    row = growth.routed(tiles, chunks)
    assert (row["chunks"], row["documents"], row["queries"]) == (chunks, sum(map(len, parts)), 64)
    assert row["recall"] is None
    assert "coarse_p50" not in row
    assert json.dumps(row, allow_nan=False)


def test_a_stored_bank_is_opened(real: RealBank, tiles: growth.Tiles, tmp_path: Path) -> None:
    chunks = 2 * len(real.keys)
    opening.store(tmp_path, real, tiles, chunks)
    row = opening.opened(tmp_path, tiles.queries)
    assert row["documents"] == 2 * _PASSAGES
    assert row["open_s"] is not None
    assert row["scan_p50"] is not None


def test_a_bank_of_texts_has_its_tokens_and_says_what_comes_again(
    passages: Path, real: RealBank
) -> None:
    lines = passages_of([passages])
    sizes = tokens_of(lines)
    assert sizes == [block.tokens for block in real.blocks]
    once, different = targets.documents_of([passages], sum(sizes[:5]))
    assert (len(once), different) == (5, 5)
    twice, different = targets.documents_of([passages], 2 * sum(sizes))
    assert (len(twice), different) == (2 * _PASSAGES, _PASSAGES)
    assert len({document.document_id for document in twice}) == 2 * _PASSAGES


def test_growth_is_told_by_least_squares() -> None:
    rows: list[timing.Row] = [
        {"chunks": x, "scan": 2 + x / 1000, "root": x**0.5, "none": None} for x in (1e4, 2e4, 8e4)
    ]
    told = timing.slopes(rows, "chunks", ("scan", "root", "none"))
    assert told["scan_per_1000"] == pytest.approx(1)
    assert told["root_exponent"] == pytest.approx(0.5)
    assert set(told) == {f"{a}_{b}" for a in ("scan", "root") for b in ("per_1000", "exponent")}


def test_indexes_hold_as_many_vectors_as_they_should() -> None:
    for index in (flat(900), cells(900)):
        assert index.ntotal == 900
        assert index.search(vectors(1, 3), 16)[1].shape == (1, 16)


def test_work_is_done_by_another_process() -> None:
    assert alone(resident, "VmHWM") > 0
    with pytest.raises(ZeroDivisionError):
        alone(divmod, 1, 0)


def test_the_same_questions_are_asked_at_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hotpot = next(one for one in SETS if one.name == "hotpot")
    write(hotpot.questions(tmp_path), QUESTIONS)
    write(hotpot.passages(tmp_path)[0], PASSAGES)
    report = rest_precision.measured(load_default_model(), hotpot, tmp_path, None)
    assert (report["questions"], report["passages"]) == (len(QUESTIONS), len(PASSAGES))
    assert {row["measure"] for row in report["measures"]} == {"recall@1", "recall@10", "f1", "em"}
    assert all(row["met"] for row in report["measures"])
    with pytest.raises(SystemExit):
        rest_precision.main(["--data", str(tmp_path), "--sets", "none"])
    assert "no such set" in capsys.readouterr().err
