"""Bench reports what really came back: recall, answers, abstention, costs; and leaves nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from memsvc.bench.corpus import Corpus
from memsvc.bench.lines import InputError
from memsvc.bench.readers import read_corpus
from memsvc.bench.runner import Report, Settings, bench_answer, bench_recall
from tests.bench_support import (
    CONVERSATION_QUESTIONS,
    CONVERSATIONS,
    PASSAGES,
    QUESTIONS,
    write,
)
from tests.engine_support import BagModel


@pytest.fixture
def plain(tmp_path: Path) -> Corpus:
    passages = write(tmp_path / "p.jsonl.zst", PASSAGES)
    return read_corpus([passages], write(tmp_path / "q.jsonl", QUESTIONS))


@pytest.fixture
def conversations(tmp_path: Path) -> Corpus:
    passages = write(tmp_path / "p.jsonl", CONVERSATIONS)
    return read_corpus([passages], write(tmp_path / "q.jsonl", CONVERSATION_QUESTIONS))


async def recall(corpus: Corpus, **settings: Any) -> Report:
    return await bench_recall(corpus, Settings(**settings), load_model=BagModel)


async def answer(corpus: Corpus, **settings: Any) -> Report:
    return await bench_answer(corpus, Settings(**settings), load_model=BagModel)


async def test_recall_counts_evidence_among_the_first_documents(plain: Corpus) -> None:
    report = await recall(plain)
    assert (report["path"], report["n"], report["without_evidence"]) == ("msa", 2, 1)
    assert set(report["recall"]) == set(report["all"]) == {"1", "2", "5", "10", "16"}
    assert report["recall"]["1"] == 0.75  # q1 whole, half of q2
    assert report["all"]["1"] == 0.5


async def test_costs_are_those_of_the_blocks(plain: Corpus) -> None:
    report = await recall(plain)
    model = BagModel()
    assert report["tokens"] == sum(model.count_tokens(p["text"]) for p in PASSAGES)
    assert report["bytes_per_token"] > 0
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p95"]
    assert (report["documents"], report["failed_documents"]) == (4, 0)


async def test_an_abstention_is_right_only_where_there_is_no_answer(plain: Corpus) -> None:
    report = await answer(plain)
    assert (report["n"], report["abstained"]) == (3, 1)
    assert report["unanswerable"] == {"correct": 1, "n": 1}
    assert report["answerable"]["em"] == 0.5
    assert 0.5 < report["answerable"]["f1"] < 1
    assert report["em"] == pytest.approx(2 / 3, abs=1e-5)


async def test_conversations_are_kept_apart(conversations: Corpus) -> None:
    found = await recall(conversations)
    assert (found["n"], found["recall"]["1"], found["documents"]) == (1, 1.0, 2)
    said = await answer(conversations)
    assert said["abstained"] == 1  # the oars are only in the other conversation
    assert said["unanswerable"] == {"correct": 1, "n": 1}


async def test_missing_evidence_is_reported_and_never_found(tmp_path: Path) -> None:
    asked = {**QUESTIONS[0], "evidence": ["p1", "p99"]}
    corpus = read_corpus(
        [write(tmp_path / "p.jsonl", PASSAGES)], write(tmp_path / "q.jsonl", [asked])
    )
    report = await recall(corpus)
    assert (report["missing_evidence"], report["recall"]["16"]) == (1, 0.5)


async def test_keywords_find_what_shares_words(plain: Corpus) -> None:
    report = await recall(plain, path="bm25")
    assert (report["path"], report["recall"]["1"]) == ("bm25", 0.75)
    assert (await answer(plain, path="bm25"))["abstained"] == 1


async def test_embeddings_find_what_is_meant(plain: Corpus) -> None:
    report = await recall(plain, path="rag")
    assert (report["path"], report["recall"]["1"]) == ("rag", 0.75)
    assert report["recall"]["16"] == 1.0  # every document has some similarity


async def test_each_bank_has_its_own_index(conversations: Corpus) -> None:
    assert (await recall(conversations, path="bm25"))["recall"]["1"] == 1.0
    assert (await answer(conversations, path="bm25"))["abstained"] == 1


async def test_progress_tells_both_stages(plain: Corpus) -> None:
    told: dict[str, tuple[int, int]] = {}

    def note(stage: str, done: int, total: int) -> None:
        told[stage] = done, total

    await bench_recall(plain, Settings(), note, BagModel)
    assert told == {"encoding": (4, 4), "asking": (2, 2)}


async def test_nothing_is_left_behind(
    plain: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    await recall(plain)
    assert list(place.iterdir()) == []


async def test_recall_without_any_evidence_is_refused(tmp_path: Path) -> None:
    passages = write(tmp_path / "p.jsonl", PASSAGES)
    corpus = read_corpus([passages], write(tmp_path / "q.jsonl", QUESTIONS[2:]))
    with pytest.raises(InputError, match="no question names its evidence"):
        await recall(corpus)
