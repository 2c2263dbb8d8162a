"""`memsvc doctor` tries the model that the settings name."""

from __future__ import annotations

from pathlib import Path

from memsvc import config
from memsvc.doctor import Verdict, examine


def _model(tmp_path: Path, name: str | None) -> Verdict:
    flags = {"data": tmp_path / "data", "listen": "127.0.0.1:0", "model": name}
    return {verdict.name: verdict for verdict in examine(config.load(flags))}["model"]


def test_the_model_that_ships_is_well(tmp_path: Path) -> None:
    verdict = _model(tmp_path, None)
    assert verdict.ok
    assert "encodes" in verdict.detail


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    verdict = _model(tmp_path, str(tmp_path / "broken"))
    assert not verdict.ok
    assert "broken" in verdict.detail
