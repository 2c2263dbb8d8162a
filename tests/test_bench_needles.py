"""Needle tests: what is hidden can be found, the score is RULER's, and lengths are kept to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from memsvc.bench.contest import Rules
from memsvc.bench.haystack import NOISE, noise, read_haystack
from memsvc.bench.lines import InputError
from memsvc.bench.needle_run import NeedlePlan, run_needles
from memsvc.bench.needles import TASKS, NeedleHay, hidden, share_told
from memsvc.bench.results import Results
from memsvc.bench.stages import length_name, read_lengths
from memsvc.retrieval import PathSettings
from tests.engine_support import BagModel
from tests.test_bench_run import Counting


def quiet(stage: str, done: int, total: int) -> None:
    pass


def plan(*tasks: str, **changes: Any) -> NeedlePlan:
    base = NeedlePlan(Rules((PathSettings("msa"),)), (1024, 4096), "c", None, tasks, samples=2)
    return replace(base, **changes)


@pytest.mark.parametrize("name", [name for name, t in TASKS.items() if t.hay in ("noise", "text")])
def test_what_is_asked_for_is_hidden_in_the_passages_named(name: str) -> None:
    task = TASKS[name]
    sample = hidden(task, "x", noise(), Random(1))
    assert len(sample.passages) == task.keys * task.values
    told = {passage.id: passage.text for passage in sample.passages}
    question = sample.question
    assert question.answers is not None
    assert len(question.answers) == len(question.evidence) == task.asked * task.values
    for value, place in zip(question.answers, question.evidence, strict=True):
        assert f" is {value}." in told[place]
        assert len(told[place].split()) > 60
    assert hidden(task, "x", noise(), Random(1)) == sample
    assert hidden(task, "x", noise(), Random(2)) != sample


def test_questions_read_as_they_should() -> None:
    def ask(name: str) -> str:
        return hidden(TASKS[name], "x", noise(), Random(1)).question.text

    assert ask("SA1").startswith("What is the special magic number for ")
    assert ask("SA3").startswith("What is the special magic uuid for ")
    assert ask("MV").startswith("What are all the special magic numbers for ")
    assert ask("MQ").count(",") == 2
    assert " and " in ask("MQ")


@pytest.mark.parametrize("name", ["MK2", "MK3"])
def test_hay_of_needles_asks_for_what_is_in_its_first_passages(name: str) -> None:
    hay = NeedleHay(TASKS[name], "hay", 0)
    passages = [passage for passage, _ in zip(hay.passages(), range(50), strict=False)]
    for seed in range(20):
        question = hay.sample("x", 3, Random(seed)).question
        (place,) = question.evidence
        assert place in {"hay-0", "hay-1", "hay-2"}
        text = passages[int(place.split("-")[1])].text
        key = question.text.split(" for ")[1].rstrip("?")
        assert question.answers is not None
        assert f"for {key} is {question.answers[0]}." in text


def test_the_score_is_the_share_of_values_in_the_answer() -> None:
    assert share_told("It is 1234567, or 7654321.", ["1234567", "7654321"]) == 1.0
    assert share_told("ABCD-1", ["abcd-1", "efgh-2"]) == 0.5
    assert share_told("", ["1"]) == 0.0


async def test_a_grid_has_a_cell_for_each_task_and_length() -> None:
    found = await run_needles(plan("SA1", "MK2", "MV"), quiet, BagModel)
    (grid,) = found.grids
    assert (grid.x, grid.y) == (["1k", "4k"], ["SA1", "MK2", "MV"])
    assert all(value is not None and 0 <= value <= 1 for row in grid.values for value in row)
    (path,) = found.paths
    assert len(path.questions) == 2 * 3 * 2
    assert path.metrics["match"].mean > 0.5  # the small model answers with the right sentence
    assert path.metrics["recall@10"].mean == 1.0
    assert "em" not in path.metrics
    assert found.curves[0].x == [1024, 4096]
    single = [q for q in path.questions if q.id.startswith("SA1")]
    assert all(q.scores["match"] == 1.0 for q in single)


async def test_needles_are_gone_after_their_question() -> None:
    found = await run_needles(plan("SA1", samples=4, lengths=(1024,)), quiet, BagModel)
    ids = [hit for question in found.paths[0].questions for hit in question.hits if "SA1" in hit]
    assert sorted(ids) == sorted(q.evidence[0] for q in found.paths[0].questions)


async def test_every_path_looks_for_the_same_needles() -> None:
    both = Rules((PathSettings("msa"), PathSettings("bm25"), PathSettings("full-context")))
    found = await run_needles(plan("SA1", rules=both), quiet, BagModel)
    assert [grid.path for grid in found.grids] == ["msa", "bm25"]
    assert found.paths[0].metrics["recall@1"] == found.paths[1].metrics["recall@1"]
    assert [skipped.path for skipped in found.skipped] == ["full-context"]


async def test_a_grid_goes_on_and_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counting, "asked", 0)
    short = plan("SA1", lengths=(1024,), out=tmp_path / "out")
    await run_needles(short, quiet, Counting)
    assert Counting.asked == 3  # one of them unmeasured
    found = await run_needles(replace(short, lengths=(1024, 4096)), quiet, Counting)
    assert Counting.asked == 6
    assert found.grids[0].x == ["1k", "4k"]
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert Results.from_dict(written) == found


async def test_a_length_that_holds_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="5 tokens do not hold a passage"):
        await run_needles(plan("SA1", lengths=(5,)), quiet, BagModel)


def test_unknown_tasks_name_the_known() -> None:
    with pytest.raises(InputError, match="unknown tasks 'XX'; there are SA1, SA2, SA3"):
        plan("SA1", "XX")


def test_any_text_file_can_be_the_haystack(tmp_path: Path) -> None:
    (tmp_path / "essay.txt").write_text("One was first. Two came after!\n\nThree? " * 3)
    hay = read_haystack(str(tmp_path / "essay.txt"))
    first, second = [p for p, _ in zip(hay.passages("h", 0), range(2), strict=False)]
    assert first.text.startswith("One was first. Two came after! Three? One")
    assert (first.id, second.id) == ("h-0", "h-1")
    assert "NEEDLE" in hay.around("NEEDLE", Random(0))


@pytest.mark.parametrize(
    ("body", "problem"), [(b"\xff", "not UTF-8 at byte 0"), (b" \n", "no text"), (None, "No such")]
)
def test_a_haystack_that_is_none_is_named(tmp_path: Path, body: bytes | None, problem: str) -> None:
    path = tmp_path / "hay.txt"
    if body is not None:
        path.write_bytes(body)
    with pytest.raises(InputError, match=f"hay.txt: .*{problem}"):
        read_haystack(str(path))
    assert read_haystack(NOISE)


def test_lengths_are_read_in_any_order_and_named_back() -> None:
    assert read_lengths("1m, 4k,100,4K") == (100, 4096, 1 << 20)
    assert [length_name(n) for n in (100, 4096, 1 << 20, 1 << 19)] == ["100", "4k", "1m", "512k"]


@pytest.mark.parametrize("text", ["", "4g", "k", "4k,,8k", "0", "-1"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no length such as 4096, 16k or 1m"):
        read_lengths(text)
