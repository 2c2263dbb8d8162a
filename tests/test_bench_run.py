"""A run over all paths: the same questions to each, resumed where it stopped, nothing lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memsvc_router.api import AskOptions, Done, Event, Hit, Hop, MemoryView, Retriever, Step, Usage

from memsvc.bench.contest import Rules, facts
from memsvc.bench.corpus import Corpus, Question
from memsvc.bench.lines import InputError
from memsvc.bench.readers import read_corpus
from memsvc.bench.results import Results
from memsvc.bench.running import Run, named_apart, run_bench
from memsvc.retrieval import PATHS, PathSettings
from tests.bench_support import CONVERSATION_QUESTIONS, CONVERSATIONS, PASSAGES, QUESTIONS, write
from tests.engine_support import BagModel


@pytest.fixture
def plain(tmp_path: Path) -> Corpus:
    passages = write(tmp_path / "p.jsonl", PASSAGES)
    return read_corpus([passages], write(tmp_path / "q.jsonl", QUESTIONS))


def rules(*paths: str, **changes: Any) -> Rules:
    return Rules(tuple(PathSettings(path) for path in paths), **changes)


def quiet(stage: str, done: int, total: int) -> None:
    pass


async def run(
    corpus: Corpus, held_to: Rules, out: Path | None = None, model: type[BagModel] = BagModel
) -> Results:
    return await run_bench(Run(corpus, held_to, "title", "command", out), quiet, model)


class Counting(BagModel):
    """Counts the questions that reach it."""

    asked = 0

    def ask(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Iterator[Event | Step]:
        type(self).asked += 1
        return super().ask(view, question, options, retriever)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    monkeypatch.setattr(Counting, "asked", 0)
    return Counting


async def test_all_paths_are_asked_the_same_questions_in_one_bank(plain: Corpus) -> None:
    found = await run(plain, rules(*PATHS))
    assert {path.path for path in found.paths} == set(PATHS) - {"rag+rerank"}
    assert [(s.path, s.reason) for s in found.skipped] == [("rag+rerank", "no reranker given")]
    for path in found.paths:
        assert [question.id for question in path.questions] == ["q1", "q2", "q3"]
        assert {"em", "f1", "recall@10", "all@10", "ndcg@10", "mrr", "abstention"} <= set(
            path.metrics
        )
        assert {"mean", "p50", "p95", "p99"} == set(path.latency_ms)
    assert {(pair.a, pair.b) for pair in found.pairs} >= {("msa", "rag"), ("msa", "bm25")}
    assert found.bank["documents"] == 4
    assert found.bank["near_bytes"] > 0
    assert found.bank["far_bytes"] > 0
    assert found.curves[0].series.keys() == {path.path for path in found.paths}


async def test_raw_answers_hold_what_was_found_read_and_cited(plain: Corpus) -> None:
    (path,) = (await run(plain, rules("msa"))).paths
    first, _, none = path.questions
    assert first.hits[0] == "p1"
    assert first.citations[0].document == "p1"
    assert first.hops[0].routed == first.hits
    assert (first.em, first.answers, first.evidence) == (1.0, list(QUESTIONS[0]["answers"]), ["p1"])
    assert (none.found, none.answer, none.em) == (False, "", 1.0)
    assert path.metrics["abstention"].mean == 1.0


async def test_indexes_are_weighed(plain: Corpus) -> None:
    rag, files = (await run(plain, rules("rag", "files"))).paths
    assert rag.index["bytes"] >= 4 * 384 * 4
    assert files.index["bytes"] == 0


async def test_a_bank_too_large_to_read_whole_skips_the_path_that_would(tmp_path: Path) -> None:
    many = [{"id": f"p{n}", "title": "", "text": f"Thing {n} is here."} for n in range(20)]
    corpus = read_corpus(
        [write(tmp_path / "p.jsonl", many)], write(tmp_path / "q.jsonl", QUESTIONS[2:])
    )
    found = await run(corpus, rules("msa", "full-context"))
    assert [path.path for path in found.paths] == ["msa"]
    assert "20 documents" in found.skipped[0].reason


async def test_conversations_are_asked_each_in_its_own_bank(tmp_path: Path) -> None:
    passages = write(tmp_path / "p.jsonl", CONVERSATIONS)
    corpus = read_corpus([passages], write(tmp_path / "q.jsonl", CONVERSATION_QUESTIONS))
    found = await run(corpus, rules("msa", "bm25"))
    assert found.bank["banks"] == 2
    for path in found.paths:
        boat, oars = path.questions
        assert boat.hits[0] == "c1-0"
        assert not oars.found  # the oars are only in the other conversation


async def test_what_was_answered_is_not_asked_again(
    plain: Corpus, tmp_path: Path, counting: type[Counting]
) -> None:
    first = await run(plain, rules("msa", "bm25"), tmp_path / "out", counting)
    counting.asked = 0
    again = await run(plain, rules("msa", "bm25"), tmp_path / "out", counting)
    assert counting.asked == 2  # one unmeasured question for each path
    assert [path.questions for path in again.paths] == [path.questions for path in first.paths]
    assert Results.from_dict(json.loads((tmp_path / "out" / "results.json").read_text())) == again


async def test_an_answer_that_was_cut_off_is_asked_again(
    plain: Corpus, tmp_path: Path, counting: type[Counting]
) -> None:
    await run(plain, rules("msa"), tmp_path / "out", counting)
    answers = tmp_path / "out" / "answers.jsonl"
    answers.write_bytes(answers.read_bytes()[:-9])
    counting.asked = 0
    again = await run(plain, rules("msa"), tmp_path / "out", counting)
    assert counting.asked == 2
    assert len(again.paths[0].questions) == 3


async def test_a_run_that_is_interrupted_leaves_what_it_has_and_goes_on(
    plain: Corpus, tmp_path: Path
) -> None:
    def stop(*heard: object) -> None:
        if heard[:2] == ("asking", 2):
            raise asyncio.CancelledError

    whole = Run(plain, rules("msa", "bm25"), "t", "c", tmp_path / "out")
    with pytest.raises(asyncio.CancelledError):
        await run_bench(whole, stop, BagModel)
    left = Results.from_dict(json.loads((tmp_path / "out" / "results.json").read_text()))
    assert [len(path.questions) for path in left.paths] == [1, 1]
    assert "msa: only 1 of 3 questions asked" in left.warnings
    again = await run_bench(whole, quiet, BagModel)
    assert [len(path.questions) for path in again.paths] == [3, 3]
    assert again.warnings == []


async def test_another_run_is_not_gone_on_with(plain: Corpus, tmp_path: Path) -> None:
    await run(plain, rules("msa"), tmp_path / "out")
    with pytest.raises(InputError, match="holds another run: k differ; use another --out"):
        await run(plain, rules("msa", k=5), tmp_path / "out")
    with pytest.raises(InputError, match="questions differ"):
        await run(plain.sample(1), rules("msa"), tmp_path / "out")


class Broken(BagModel):
    """Fails at one question."""

    def ask(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Iterator[Event | Step]:
        if "harbour" in question:
            raise ValueError("cannot be read")
        return super().ask(view, question, options, retriever)


async def test_a_question_that_fails_is_wrong_and_the_others_go_on(plain: Corpus) -> None:
    found = await run(plain, rules("msa"), model=Broken)
    (path,) = found.paths
    assert [question.error for question in path.questions] == ["", "ValueError: cannot be read", ""]
    assert path.questions[1].em == 0.0
    assert found.warnings == ["msa: 1 questions failed"]


async def test_missing_evidence_stands_among_the_warnings(tmp_path: Path) -> None:
    asked = {**QUESTIONS[0], "evidence": ["p1", "p99"]}
    corpus = read_corpus(
        [write(tmp_path / "p.jsonl", PASSAGES)], write(tmp_path / "q.jsonl", [asked])
    )
    found = await run(corpus, rules("msa"))
    assert found.warnings == ["1 evidence ids are in no passage and count as not found: p99"]
    assert found.paths[0].metrics["recall@10"].mean == 0.5


def test_tokens_read_are_those_of_the_answers_usage() -> None:
    question = Question("q", "Who?", None, ())
    told = facts(question, [Done("x", True, 0.5, Usage(read_tokens=70))], 1, 2.0)
    assert (told.read_tokens, told.latency_ms, told.em) == (70, 2.0, None)


def test_documents_read_in_earlier_rounds_are_found_first() -> None:
    def hop(index: int, routed: list[str], read: tuple[str, ...]) -> Hop:
        hits = tuple(Hit(document, 1.0, 0, 0, 1, index) for document in routed)
        return Hop(index, (), hits, read, 1.0)

    hops = [hop(0, ["a", "b", "c"], ("b",)), hop(1, ["d", "a"], ("d",))]
    question = Question("q", "Who?", None, ())
    assert facts(question, hops, 2, 1.0).hits == ["b", "d", "a", "c"]
    assert facts(question, hops[:1], 1, 1.0).hits == ["a", "b", "c"]


def test_the_models_own_order_of_documents_goes_before_any_other() -> None:
    def hit(document: str) -> Hit:
        return Hit(document, 1.0, 0, 0, 1, 0)

    hop = Hop(0, (), (hit("a"), hit("b")), ("a",), 1.0)
    done = Done("x", True, 0.5, hits=(hit("c"), hit("b"), hit("a")))
    question = Question("q", "Who?", None, ("b",))
    assert facts(question, [hop, done], 2, 1.0).hits == ["c", "b", "a"]


def test_questions_of_one_name_are_told_apart(plain: Corpus) -> None:
    twice = Corpus(plain.banks, [plain.questions[0], plain.questions[0]])
    assert [question.id for question in named_apart(twice).questions] == ["q1", "q1 (2)"]
