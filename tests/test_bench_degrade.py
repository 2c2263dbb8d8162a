"""The degradation curve: the same questions at every length, evidence always in the bank."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memsvc.bench.contest import Rules
from memsvc.bench.corpus import Corpus, Passage, Question
from memsvc.bench.degrade import DegradePlan, run_degrade
from memsvc.bench.lines import InputError
from memsvc.bench.prose import Prose, read_prose
from memsvc.retrieval import PathSettings
from tests.bench_support import write
from tests.engine_support import BagModel, Switches

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


async def test_prose_takes_the_place_of_the_sets_own_passages(
    plan: DegradePlan, tmp_path: Path
) -> None:
    story = ". ".join(f"On day {n} the wind blew from side {n % 7}" for n in range(400))
    rows = [
        {"id": "a", "title": "Log", "text": story},
        {"id": "b", "text": story.replace("day", "night")},
    ]
    prose = read_prose([write(tmp_path / "p.jsonl.zst", rows)])
    switches = Switches()
    grown = replace(plan, prose=prose, lengths=(500, 2000, 5000), out=tmp_path / "o")
    found = await run_degrade(grown, quiet, lambda: BagModel(switches))
    assert found.warnings == []
    assert [len(path.questions) for path in found.paths] == [6, 6]
    assert len(switches.encoded) == len(set(switches.encoded)) == found.bank["documents"]
    assert not any("filler" in text for text in switches.encoded)
    assert all(len(text.split()) < 180 for text in switches.encoded)
    with pytest.raises(InputError, match="holds another run: haystack differ"):
        await run_degrade(replace(grown, prose=Prose()), quiet, BagModel)


def test_prose_is_cut_the_same_each_time_and_loses_no_word(tmp_path: Path) -> None:
    listing = " ".join(f"row{n}" for n in range(1000))  # no sentence ends in there
    (tmp_path / "a.txt").write_text(f"One. Two! {listing}", encoding="utf-8")
    lines = write(tmp_path / "b.jsonl", [{"text": "Three. Four."}, {"text": "Five.", "title": "T"}])
    prose = read_prose([tmp_path / "a.txt", lines])
    passages = list(prose.passages(0))
    words = sorted(word for passage in passages for word in passage.text.split())
    assert words == sorted(f"One. Two! {listing} Three. Four. Five.".split())
    assert len({passage.id for passage in passages}) == len(passages)
    assert max(len(passage.text.split()) for passage in passages) < 180
    assert [p.title for p in passages if p.text == "Five."] == ["T"]
    assert passages == list(prose.passages(0))


@pytest.mark.parametrize(
    ("body", "problem"),
    [("", "holds no text"), ('{"title": "x"}\n', ":1: 'text' must be a string")],
)
def test_prose_that_cannot_be_read_is_named(tmp_path: Path, body: str, problem: str) -> None:
    (tmp_path / "p.jsonl").write_text(body)
    with pytest.raises(InputError, match=f"p.jsonl.*{problem}"):
        read_prose([tmp_path / "p.jsonl"])


class Forgetful(BagModel):
    """Finds nothing in a bank of more than ten documents for one of the questions."""

    def ask(self, view: Any, question: str, *rest: Any, **more: Any) -> Any:
        lost = len(view) > 10 and "kettle" in question
        return super().ask(view, "?" if lost else question, *rest, **more)


async def test_the_drop_of_f1_is_told_with_an_interval(plan: DegradePlan) -> None:
    found = await run_degrade(replace(plan, lengths=(100, 1000)), quiet, Forgetful)
    path = found.paths[0]
    drop = path.metrics["f1_drop"]
    assert (drop.mean, drop.low, drop.high, drop.n) == (0.5, 0.0, 1.0, 2)
    assert path.settings["f1_drop"] == "100 to 1000"
    assert found.paths[1].metrics.keys() >= {"f1_drop"}
    one = await run_degrade(replace(plan, lengths=(100,)), quiet, Forgetful)
    assert "f1_drop" not in one.paths[0].metrics  # nothing to compare with


def test_several_banks_cannot_grow_as_one(plan: DegradePlan) -> None:
    two = Corpus({"a": [], "b": []}, [])
    with pytest.raises(InputError, match="the set makes 2 banks"):
        replace(plan, corpus=two)
