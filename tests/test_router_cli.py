"""`memsvc router …` on a data directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from memsvc_client.cli import exits
from memsvc_storage import RouterVersions
from typer.testing import CliRunner

from memsvc import router_cli

_FIGURES = {"questions": 40, "recall_at_1": 0.5, "recall_at_10": 0.9, "mrr": 0.625}
_FACTS = {
    "bank": "notes",
    "evaluation": {"before": _FIGURES, "after": _FIGURES, "difference": [0.0, -0.1, 0.1]},
}

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def versions(tmp_path: Path) -> RouterVersions:
    """Versions 1, promoted, and 2, its child."""
    made = RouterVersions(tmp_path)
    for parent in (0, 1):
        with made.drafting("some-model") as draft:
            (draft / "config.json").write_text("{}")
            made.keep(draft, parent, _FACTS)
    made.promote(1)
    return made


@pytest.fixture
def memsvc(tmp_path: Path) -> Run:
    app = typer.Typer()
    router_cli.register(app)

    def run(*arguments: str) -> tuple[int, Any]:
        given = ["router", *arguments, "--data", str(tmp_path)]
        done = CliRunner().invoke(app, given)
        return done.exit_code, json.loads(done.stdout) if "--json" in arguments else done.stdout

    return run


@pytest.mark.usefixtures("versions")
def test_what_there_is_and_what_serves(memsvc: Run) -> None:
    code, told = memsvc("list", "--json")
    assert code == exits.OK
    assert told["data"]["serving"] == 1
    states = [(one["version"], one["state"]) for one in told["data"]["versions"]]
    assert states == [(1, "current"), (2, "candidate")]
    code, table = memsvc("list")
    assert code == exits.OK
    assert "0.625" in table
    code, shown = memsvc("show", "2", "--json")
    assert (shown["data"]["parent"], shown["data"]["bank"]) == (1, "notes")
    assert "evaluation.before.mrr" in memsvc("show", "2")[1]


def test_promoting_and_rolling_back(memsvc: Run, versions: RouterVersions) -> None:
    assert memsvc("promote", "2", "--json") == (exits.OK, {"ok": True, "data": {"serving": 2}})
    assert versions.get(2).state == "current"
    assert memsvc("rollback", "--json") == (exits.OK, {"ok": True, "data": {"serving": 1}})
    assert memsvc("rollback", "--json") == (exits.OK, {"ok": True, "data": {"serving": 0}})
    assert versions.current() is None
    assert memsvc("rollback")[0] == exits.NOT_FOUND


@pytest.mark.usefixtures("versions")
def test_what_is_not_there_is_said(memsvc: Run) -> None:
    code, told = memsvc("promote", "7", "--json")
    assert code == exits.NOT_FOUND
    assert "version 7 does not exist" in told["error"]["message"]


def test_a_damaged_file_is_named(memsvc: Run, versions: RouterVersions, tmp_path: Path) -> None:
    (tmp_path / "routers" / "current.json").write_text("[]")
    code, told = memsvc("list", "--json")
    assert code == exits.FAULT
    assert "current.json" in told["error"]["message"]
    assert memsvc("promote", "1")[0] == exits.OK
    assert versions.get(1).state == "current"
