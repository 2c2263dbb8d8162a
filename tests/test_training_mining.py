"""Hard negatives: alike, but neither evidence, nor its double, nor holding the answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from memsvc_router.training.mining import (
    MiningOptions,
    load_negatives,
    mine_negatives,
    mined_as,
    save_negatives,
)
from memsvc_router.training.rows import DataError, Passage, Question, TrainingSet

from tests.router_support import default_model

TEXTS = {
    "gold": "Oslo is the capital of Norway and lies at a fjord in the south of the country.",
    "double": "Oslo is the capital of Norway and lies at a fjord in the south of the land.",
    "answer": "The fjord at the capital is called the Inner Fjord, near Norway's oldest fort.",
    "bergen": "Bergen is a city of Norway and lies at a fjord in the west.",
    "cheese": "Brown cheese is eaten with bread.",
    "sea": "Ships that sail northwards along the Scandinavian coast meet rough water.",
}


def a_set(answers: tuple[str, ...] = ("inner fjord",)) -> TrainingSet:
    passages = tuple(Passage(name, "t", "", text) for name, text in TEXTS.items())
    asked = "At which fjord lies the capital of Norway?"
    return TrainingSet(
        passages, (Question("q", "t", asked, answers, ("gold",), False, True, False, ""),)
    )


def mined(options: MiningOptions = MiningOptions(), model: bool = False) -> list[str]:
    rows = mine_negatives(a_set(), options, default_model() if model else None)
    return [list(TEXTS)[number] for number in rows[0]]


def test_look_alikes_come_first_and_nothing_that_is_right_comes_at_all() -> None:
    found = mined()
    assert found[0] == "bergen"
    assert not {"gold", "double", "answer"} & set(found)


def test_keep_is_the_most_that_there_are() -> None:
    assert mined(MiningOptions(keep=1)) == ["bergen"]


def test_our_own_router_finds_what_shares_no_word() -> None:
    assert "sea" in mined(MiningOptions(depth=6), model=True)
    assert "sea" not in mined(MiningOptions(depth=3))


def test_what_was_mined_is_kept_for_its_own_set_only(tmp_path: Path) -> None:
    options = MiningOptions()
    save_negatives(tmp_path, a_set(), [[3, 4]], options, "bm25")
    assert load_negatives(tmp_path, a_set()) == [[3, 4]]
    assert mined_as(tmp_path, a_set(), options, "bm25")
    assert not mined_as(tmp_path, a_set(), MiningOptions(keep=2), "bm25")
    assert not mined_as(tmp_path, a_set(), options, "another model")
    with pytest.raises(DataError, match="mined from another set"):
        load_negatives(tmp_path, a_set(answers=("other",)))


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run memsvc train-data mine"):
        load_negatives(tmp_path, a_set())
    (tmp_path / "negatives.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        load_negatives(tmp_path, a_set())
