"""benchmarks/ablations: every variant changes one thing, and what was measured is not again."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from memsvc_router.decoder.loading import open_checkpoint
from memsvc_router.training.decoder.tiny import write_base

from benchmarks import ablations

BASE, *OTHERS = ablations.VARIANTS


def test_names_are_those_of_one_variant_each() -> None:
    names = [variant.name for variant in ablations.VARIANTS]
    assert len(set(names)) == len(names)
    assert {v.of for v in OTHERS} - {None} <= set(names)


@pytest.mark.parametrize("variant", OTHERS, ids=lambda variant: variant.name)
def test_a_variant_changes_one_thing_and_the_checkpoint_shows_it(
    variant: ablations.Variant, tmp_path: Path
) -> None:
    same = replace(variant, name=BASE.name, of=None)
    changed = [f.name for f in fields(same) if getattr(same, f.name) != getattr(BASE, f.name)]
    assert len(changed) == 1
    assert sum(stage.share for stage in variant.stages) == 1
    if changed[0] in ("router_layers", "settings"):
        write_base(tmp_path / "base")
        write_base(tmp_path / "other", 0, variant.router_layers, variant.settings)
        base, other = (open_checkpoint(tmp_path / name).config for name in ("base", "other"))
        differ = [f.name for f in fields(base) if getattr(base, f.name) != getattr(other, f.name)]
        assert len(differ) == 1


def test_the_weight_of_the_auxiliary_loss_is_what_a_variant_says() -> None:
    weights = {variant.name: [stage.weights for stage in variant.stages] for variant in OTHERS}
    assert BASE.stages[0].weights == (1.0, 0.1)
    assert weights["no auxiliary loss"] == [(1.0, 0.0)]
    assert weights["stage 1 for a fourth, then stage 2"] == [(0.1, 1.0), (1.0, 0.1)]


def test_what_stands_in_the_file_is_not_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def table(*names: str) -> list[str]:
        ablations.main([str(tmp_path), "--steps", "2", "--worlds", "1", "--only", *names])
        return capsys.readouterr().out.splitlines()

    first = table("as it is")
    rows = (tmp_path / ablations.FILE).read_text()
    names = ("as it is", "stage 1 for a fourth, then stage 2")
    second = table(*names)
    assert second[:-1] == first
    assert (tmp_path / ablations.FILE).read_text().startswith(rows)
    assert len((tmp_path / ablations.FILE).read_text().splitlines()) == 2
    assert table(*names) == second
    assert [row.split(" | ")[0] for row in second[2:]] == [f"| {name}" for name in names]
    assert {row.count("|") for row in second} == {6}
