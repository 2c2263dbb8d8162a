"""The command line against a small server: envelopes, exit codes, confirmation, plain output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from memsvc_client.cli import exits
from memsvc_proto.v1 import memory_pb2

from tests.client_support import Record, reason, small_server, status

ROOT = Path(__file__).parent.parent


@pytest.fixture
def server() -> Iterator[tuple[str, Record]]:
    with small_server() as running:
        yield running


def memsvc(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    folders = ["clients", "proto"]
    path = os.pathsep.join(str(ROOT / folder) for folder in folders)
    return subprocess.run(
        [sys.executable, "-m", "memsvc_client.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT / "clients",  # -m puts the working folder first: never the server's
        env={**os.environ, "PYTHONPATH": path, **env},
    )


def envelope(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object on stdout."""
    (line,) = run.stdout.splitlines()
    body = json.loads(line)
    assert isinstance(body, dict)
    return body


def test_results_come_as_one_envelope(server: tuple[str, Record]) -> None:
    target, _ = server
    run = memsvc("bank", "create", "notes", "--meta", "n=1", "--server", target, "--json")
    assert run.returncode == exits.OK, run.stderr
    body = envelope(run)
    assert body["ok"] is True
    assert body["data"]["name"] == "banks/notes"
    assert body["data"]["metadata"] == {"n": 1}


def test_the_server_and_json_may_stand_before_the_command(server: tuple[str, Record]) -> None:
    target, _ = server
    before = memsvc("--server", target, "--json", "bank", "show", "b")
    by_environment = memsvc("bank", "show", "b", "--json", MEMSVC_SERVER=target)
    assert envelope(before)["data"] == envelope(by_environment)["data"]


def test_a_table_without_escapes_when_piped(server: tuple[str, Record]) -> None:
    target, _ = server
    run = memsvc("bank", "list", "--server", target)
    assert "bank-6" in run.stdout
    assert "\x1b" not in run.stdout


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, exits.USAGE),
        (grpc.StatusCode.NOT_FOUND, exits.NOT_FOUND),
        (grpc.StatusCode.ALREADY_EXISTS, exits.CONFLICT),
        (grpc.StatusCode.UNAUTHENTICATED, exits.DENIED),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, exits.REFUSED),
        (grpc.StatusCode.INTERNAL, exits.FAULT),
    ],
)
def test_errors_have_an_envelope_and_an_exit_code(
    server: tuple[str, Record], code: grpc.StatusCode, exit_code: int
) -> None:
    target, record = server
    record.error = status(code, "what happened", reason("WHY"))
    run = memsvc("bank", "show", "b", "--server", target, "--json")
    assert run.returncode == exit_code
    body = envelope(run)
    assert body["ok"] is False
    assert (body["error"]["code"], body["error"]["reason"]) == (code.name, "WHY")
    for_people = memsvc("bank", "show", "b", "--server", target)
    assert for_people.returncode == exit_code
    assert "WHY: what happened" in for_people.stderr
    assert for_people.stdout == ""


def test_no_server_is_told(unused_tcp_port: int) -> None:
    run = memsvc("bank", "list", "--server", f"127.0.0.1:{unused_tcp_port}")
    assert run.returncode == exits.UNAVAILABLE
    assert "UNAVAILABLE" in run.stderr
    assert "Traceback" not in run.stderr


def test_wrong_arguments_answer_with_the_envelope_too() -> None:
    run = memsvc("bank", "show", "--json")
    assert run.returncode == exits.USAGE
    assert envelope(run)["error"]["code"] == "USAGE"
    assert memsvc("bank", "nonsense").returncode == exits.USAGE


def test_deletion_needs_a_yes(server: tuple[str, Record]) -> None:
    target, record = server
    for noun, names in (("bank", ["b"]), ("doc", ["b", "d"])):
        refused = memsvc(noun, "delete", *names, "--server", target)
        assert refused.returncode == exits.USAGE
        assert "--yes" in refused.stderr
    assert not record.calls.keys() & {"DeleteBank", "DeleteDocument"}
    assert memsvc("bank", "delete", "b", "--yes", "--server", target).returncode == exits.OK
    assert memsvc("doc", "delete", "b", "d", "--yes", "--server", target).returncode == exits.OK
    assert record.calls["DeleteBank"] == record.calls["DeleteDocument"] == 1


def test_a_folder_is_added_with_ids_of_its_paths(
    server: tuple[str, Record], tmp_path: Path
) -> None:
    target, record = server
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "a.md").write_text("first")
    (tmp_path / "sub dir" / "b.txt").write_text("second")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\x00")
    (tmp_path / ".hidden").write_text("secret")
    (tmp_path / "c.jsonl").write_text(
        '{"text": "third", "id": "c", "metadata": {"n": 2}}\n\n{"text": "fourth"}\n'
    )
    command = ["doc", "add", "b", str(tmp_path), "--meta", "kind=note", "--server", target]
    run = memsvc(*command)
    assert run.returncode == exits.OK, run.stderr
    assert "4 documents stored" in run.stdout
    assert "image.png" in run.stderr
    assert "encoding: 3" in run.stderr
    sent = [one.document for one in record.streams[0][1:]]
    assert [one.text for one in sent] == ["first", "third", "fourth", "second"]
    assert sent[0].document_id == "a.md"
    assert sent[3].document_id.startswith("sub-dir-b.txt-")
    assert dict(sent[1].metadata) == {"kind": "note", "n": 2}
    memsvc(*command)
    again = [one.document.document_id for one in record.streams[1][1:]]
    assert again == [one.document_id for one in sent]


def test_stdin_is_one_document_or_json_lines(server: tuple[str, Record]) -> None:
    target, record = server
    command = ["doc", "add", "b", "-", "--no-wait", "--server", target, "--json"]
    assert memsvc(*command, "--id", "x", "--title", "T", stdin="a text").returncode == exits.OK
    lines = '{"text": "one", "event_time": "2026-01-31T12:00:00Z"}\n{"text": "two"}\n'
    assert envelope(memsvc(*command, "--jsonl", stdin=lines))["data"]["stored"] == 2
    first = record.streams[0][1].document
    assert (first.text, first.document_id, first.title) == ("a text", "x", "T")
    assert record.streams[1][1].document.event_time.ToJsonString() == "2026-01-31T12:00:00Z"
    assert not record.calls["WaitOperation"]


@pytest.mark.parametrize(
    "line",
    ['{"text": 5}', '{"txt": "a"}', "[1]", "not json", '{"text": "a", "event_time": "now"}'],
)
def test_a_bad_line_is_named(server: tuple[str, Record], tmp_path: Path, line: str) -> None:
    target, _ = server
    file = tmp_path / "bad.jsonl"
    file.write_text('{"text": "good"}\n' + line)
    run = memsvc("doc", "add", "b", str(file), "--server", target)
    assert run.returncode == exits.USAGE
    assert "bad.jsonl:2" in run.stderr
    assert "Traceback" not in run.stderr


def test_refused_documents_are_a_partial_failure(server: tuple[str, Record]) -> None:
    target, _ = server
    lines = '{"text": "a", "id": "taken"}\n{"text": "b"}\n'
    command = ["doc", "add", "b", "-", "--jsonl", "--no-wait", "--server", target]
    run = memsvc(*command, "--json", stdin=lines)
    assert run.returncode == exits.PARTIAL
    error = envelope(run)["error"]
    assert error["code"] == "PARTIAL_FAILURE"
    assert error["data"]["stored"] == 1
    assert error["data"]["errors"][0]["document"] == "taken"
    assert error["data"]["errors"][0]["error"]["reason"] == "DOCUMENT_EXISTS"
    assert "1 × DOCUMENT_EXISTS" in memsvc(*command, stdin=lines).stderr


def asked(server: tuple[str, Record], *events: memory_pb2.AskEvent, json: bool = False) -> Any:
    target, record = server
    record.events = list(events)
    record.go_on.set()
    return memsvc("ask", "b", "where?", "--server", target, *(["--json"] if json else []))


def test_an_answer_shows_hops_and_sources(server: tuple[str, Record]) -> None:
    document = "banks/b/documents/d1"
    hostile = "Title \x1b[31m[bold]"
    hit = memory_pb2.Hit(document=document, score=0.5, end=4, read=True)
    cited = memory_pb2.Citation(
        document=document, title=hostile, quote="the blue pot", start=3, end=15, score=0.5
    )
    events = [
        memory_pb2.AskEvent(hop=memory_pb2.Hop(routed=[hit], read=[document], milliseconds=7)),
        memory_pb2.AskEvent(citation=cited),
        memory_pb2.AskEvent(token=memory_pb2.Token(text="the blue")),
        memory_pb2.AskEvent(token=memory_pb2.Token(text=" pot")),
        memory_pb2.AskEvent(done=memory_pb2.Done(answer="the blue pot", found=True)),
    ]
    run = asked(server, *events)
    assert run.returncode == exits.OK, run.stderr
    for part in (
        "hop 1",
        "7 ms",
        "\nthe blue pot\n",
        "characters 3–15",
        "“the blue pot”",
        "0.5000",
    ):
        assert part in run.stdout
    assert "\x1b" not in run.stdout
    assert "[bold]" in run.stdout
    data = envelope(asked(server, *events, json=True))["data"]
    assert (data["text"], data["found"]) == ("the blue pot", True)
    assert data["citations"][0]["title"] == hostile


def test_what_is_not_in_memory_is_said_honestly(server: tuple[str, Record]) -> None:
    run = asked(server, memory_pb2.AskEvent(done=memory_pb2.Done(found=False)))
    assert run.returncode == exits.OK
    assert "not in memory" in run.stdout


def test_waiting_for_an_operation(server: tuple[str, Record]) -> None:
    target, _ = server
    run = memsvc("op", "wait", "endless", "--timeout", "0.2", "--server", target)
    assert run.returncode != exits.OK


def test_the_exit_codes_are_documented() -> None:
    assert exits.table() in (ROOT / "docs" / "cli.md").read_text()
    shown = " ".join(memsvc("--help").stdout.split())
    for meaning in exits.MEANINGS.values():
        assert meaning.split()[0] in shown


def test_without_the_server_the_cli_works_and_explains(tmp_path: Path) -> None:
    """A stand-in for a base install: every module of the server fails to import."""
    (tmp_path / "memsvc").mkdir()
    (tmp_path / "memsvc" / "__init__.py").write_text("raise ImportError('no torch here')")
    path = os.pathsep.join(str(one) for one in (tmp_path, ROOT / "clients", ROOT / "proto"))
    for command in ("serve", "doctor", "bench"):
        run = memsvc(command, "--anything", PYTHONPATH=path)
        assert run.returncode == exits.FAULT
        assert "memsvc[server]" in run.stderr
    assert memsvc("--help", PYTHONPATH=path).returncode == exits.OK
