"""The degradation curve: the same questions at every length, evidence always in the bank."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memsvc.bench.contest import Rules
from memsvc.bench.corpus import Corpus, Passage, Question
from memsvc.bench.degrade import DegradePlan, run_degrade
from memsvc.bench.lines import InputError
from memsvc.retrieval import PathSettings
from tests.engine_support import BagModel

WORDS = " ".join(f"filler{n}" for n in range(50))


def quiet(stage: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def plan() -> DegradePlan:
    others = [Passage(f"o{n}", "", f"Other {n}. {WORDS}") for n in range(40)]
    kept = [Passage("p1", "", "Odile painted the kettle."), Passage("p2", "", "Snow fell in May.")]
    questions = [
        Question("q1", "Who painted the kettle?", ("Odile painted the kettle.",), ("p1",)),
        Question("q2", "When fell snow?", ("Snow fell in May.",), ("p2",)),
    ]
    corpus = Corpus({"": [*others[:20], *kept, *others[20:]]}, questions)
    rules = Rules((PathSettings("msa"), PathSettings("bm25")))
    return DegradePlan(rules, (100, 1000, 2000), "c", None, corpus, "set")


async def test_questions_stay_the_same_while_the_bank_grows(plan: DegradePlan) -> None:
    found = await run_degrade(plan, quiet, BagModel)
    curves = {curve.title: curve for curve in found.curves}
    recall = curves["recall@10 as the bank grows"]
    assert recall.x == [100, 1000, 2000]
    assert recall.series == {"msa": [1.0, 1.0, 1.0], "bm25": [1.0, 1.0, 1.0]}
    assert curves["em as the bank grows"].series["msa"] == [1.0, 1.0, 1.0]
    ids = [question.id for question in found.paths[0].questions]
    assert ids == [f"{q}@{at}" for at in ("100", "1000", "2000") for q in ("q1", "q2")]
    assert 1900 < found.bank["tokens"] <= 2000
    assert found.warnings == []


async def test_lengths_out_of_reach_are_told(plan: DegradePlan) -> None:
    found = await run_degrade(replace(plan, lengths=(3, 100, 9000, 20000)), quiet, BagModel)
    short, long = found.warnings
    assert "not asked at 3: the evidence alone is" in short
    assert "9000 and more not reached" in long
    assert found.curves[0].series["msa"] == [None, 1.0, None, None]


async def test_a_curve_goes_on(plan: DegradePlan, tmp_path: Path) -> None:
    first = await run_degrade(replace(plan, out=tmp_path / "o", lengths=(100,)), quiet, BagModel)
    again = await run_degrade(replace(plan, out=tmp_path / "o"), quiet, BagModel)
    assert again.paths[0].questions[:2] == first.paths[0].questions


def test_several_banks_cannot_grow_as_one(plan: DegradePlan) -> None:
    two = Corpus({"a": [], "b": []}, [])
    with pytest.raises(InputError, match="the set makes 2 banks"):
        replace(plan, corpus=two)
