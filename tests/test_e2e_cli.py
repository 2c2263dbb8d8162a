"""The command line against a real server, as somebody would use it on a first day."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memsvc_client import MemoryClient
from memsvc_client.cli import exits

from tests.e2e_support import (
    FACTS,
    QUESTION,
    TALK,
    Served,
    environment,
    serving,
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("cli") / "data") as running:
        with MemoryClient(running.target) as client:
            client.wait_serving()
        yield running


@pytest.fixture(scope="module")
def notes(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of notes that is in bank `notes`."""
    folder = tmp_path_factory.mktemp("notes")
    for fact in FACTS:
        (folder / f"{fact.document_id}.md").write_text(fact.text)
    assert memsvc(served, "bank", "create", "notes").returncode == exits.OK
    added = memsvc(served, "doc", "add", "notes", str(folder))
    assert added.returncode == exits.OK, added.stderr
    assert "3 documents stored in notes, 3 encoded." in added.stdout
    assert "encoding: 3 of 3" in added.stderr
    return folder


def memsvc(served: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memsvc_client.cli", "--timeout", "120", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env={**environment(), "MEMSVC_SERVER": served.target},
    )


def data(served: Served, *arguments: str) -> Any:
    run = memsvc(served, *arguments, "--json")
    assert run.returncode == exits.OK, run.stdout + run.stderr
    return json.loads(run.stdout)["data"]


@pytest.mark.usefixtures("notes")
def test_an_answer_with_its_source(served: Served) -> None:
    run = memsvc(served, "ask", "notes", "Where was Marie Curie born?")
    assert run.returncode == exits.OK, run.stderr
    for part in ("hop 1", "routed", "Warsaw", "[1] ", "curie.md, characters ", "score "):
        assert part in run.stdout
    answer = data(served, "ask", "notes", "Where was Marie Curie born?")
    assert answer["found"]
    assert answer["citations"][0]["quote"] in FACTS[1].text


@pytest.mark.usefixtures("notes")
def test_recall_and_context(served: Served) -> None:
    hits = data(served, "recall", "notes", "Where is the key of the cellar?", "--hops", "1")["hits"]
    assert hits[0]["document"] == "banks/notes/documents/keys.md"
    built = memsvc(served, "context", "notes", "Where is the key of the cellar?")
    assert FACTS[0].text in built.stdout
    assert "tokens" in built.stderr
    assert "tokens" not in built.stdout


def test_adding_again_changes_nothing_and_a_changed_file_is_refused(
    served: Served, notes: Path
) -> None:
    assert data(served, "doc", "add", "notes", str(notes))["stored"] == 3
    assert data(served, "bank", "show", "notes")["document_count"] == 3
    (notes / "library.md").write_text("It is closed for ever.")
    run = memsvc(served, "doc", "add", "notes", str(notes))
    assert run.returncode == exits.PARTIAL
    assert "DOCUMENT_EXISTS" in run.stderr
    assert memsvc(served, "doc", "show", "notes", "library.md").stdout.count("nine") == 1


@pytest.mark.usefixtures("notes")
def test_lists(served: Served) -> None:
    assert "notes" in memsvc(served, "bank", "list").stdout
    shown = data(served, "doc", "list", "notes", "--filter", 'id = "curie.md"')
    assert [one["title"] for one in shown] == ["curie"]
    first = memsvc(served, "doc", "list", "notes", "--limit", "1")
    assert "--limit 0" in first.stderr
    (operation, *_) = data(served, "op", "list", "--bank", "notes")
    waited = data(served, "op", "wait", operation["name"])
    assert waited[0]["state"] == "DONE"
    assert data(served, "bank", "verify", "notes")["corrupt_documents"] == []


def test_deleting(served: Served) -> None:
    data(served, "bank", "create", "short")
    for name in ("a", "b"):
        (served.data.parent / name).write_text(f"text of {name}")
        data(served, "doc", "add", "short", str(served.data.parent / name))
    data(served, "doc", "delete", "short", "a", "--yes")
    assert memsvc(served, "doc", "show", "short", "a").returncode == exits.NOT_FOUND
    report = data(served, "bank", "compact", "short")
    assert report["bytes_after"] < report["bytes_before"]
    data(served, "bank", "delete", "short", "--yes")
    assert memsvc(served, "bank", "show", "short").returncode == exits.NOT_FOUND


def test_a_conversation_on_the_command_line(served: Served) -> None:
    bank = "talks"

    def run(*arguments: str, code: int = exits.OK) -> subprocess.CompletedProcess[str]:
        done = memsvc(served, *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    run("bank", "create", bank)
    run("session", "create", bank, "talk", "--agent", "guide")
    for role, content in TALK:
        run("session", "append", bank, "talk", role, content)
    assert TALK[0][1] in run("session", "turns", bank, "talk").stdout
    found = run("session", "recall", bank, "talk", QUESTION, "--recency-days", "30").stdout
    assert "Flensburg" in found
    built = run("session", "context", bank, "talk", "--query", QUESTION, "--max-tokens", "200")
    assert "Flensburg" in built.stdout
    assert "tokens" in built.stderr
    turns = data(served, "session", "turns", bank, "talk")
    run("session", "fork", bank, "talk", "--turn", turns[1]["name"], "--id", "fork")
    assert data(served, "session", "show", bank, "fork")["forked_at"] in turns[1]["name"]
    assert [one["name"] for one in data(served, "session", "list", bank, "--agent", "guide")] == [
        f"banks/{bank}/sessions/talk",
        f"banks/{bank}/sessions/fork",
    ]
    run("session", "end", bank, "talk")
    run("session", "append", bank, "talk", "user", "More.", code=exits.REFUSED)
    past = ("--as-of", "2020-01-01T00:00:00Z")
    assert "Flensburg" not in memsvc(served, "recall", bank, QUESTION, *past).stdout
    run("doc", "versions", bank, turns[0]["document"])
    dry = data(served, "doc", "forget", bank, "--session", "talk", "--dry-run")
    assert (dry["document_count"], dry["session_count"]) == (4, 1)
    assert (
        "in no file any more"
        in run("doc", "forget", bank, "--agent", "guide", "--compact", "-y").stdout
    )
    run("session", "show", bank, "talk", code=exits.NOT_FOUND)
    run("session", "create", bank, "last")
    run("session", "delete", bank, "last", "--yes")
    assert data(served, "session", "list", bank) == []


def test_serve_stops_when_told(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
    with MemoryClient(running.target) as client, pytest.raises(ConnectionError):
        client.server_info(timeout=5)
