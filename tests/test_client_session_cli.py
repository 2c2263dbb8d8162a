"""Sessions, forgetting and former versions on the command line, against a small server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from memsvc_client.cli import exits

from tests.client_session_support import WHEN, session_server
from tests.client_support import Record
from tests.test_client_cli import ROOT, envelope, memsvc

TIME = datetime.fromtimestamp(WHEN.seconds, UTC).isoformat()


@pytest.fixture
def server() -> Iterator[tuple[str, Record]]:
    with session_server() as running:
        yield running


def test_a_conversation_by_hand(server: tuple[str, Record]) -> None:
    target, record = server
    made = memsvc(
        "session", "create", "b", "s", "--agent", "bot", "--ttl", "60", MEMSVC_SERVER=target
    )
    assert made.stdout == "banks/b/sessions/s is there.\n"
    said = ("session", "append", "b", "s", "user")
    run = memsvc(*said, "hello", "--after", "", "--time", TIME, MEMSVC_SERVER=target)
    assert run.returncode == exits.OK, run.stderr
    assert run.stdout == "t7 is turn 7.\n"
    assert record.calls["WaitOperation"] == 3
    memsvc(*said, "-", "--no-wait", stdin="from a pipe", MEMSVC_SERVER=target)
    create, first, *_, second = record.requests
    assert (create.session.agent, create.session.HasField("expire_time")) == ("bot", True)
    assert (first.turns[0].content, first.turns[0].time, first.HasField("after")) == (
        "hello",
        WHEN,
        True,
    )
    assert second.turns[0].content == "from a pipe"
    assert not second.HasField("after")


def test_what_was_said_is_shown_word_for_word(server: tuple[str, Record]) -> None:
    target, _ = server
    run = memsvc("session", "turns", "b", "s", "--limit", "2", "--server", target)
    assert "0  user  2023-11-14 22:13:20  t0\ntext 0\nlook({}) → found\n1  user" in run.stdout
    assert "--limit 0" in run.stderr
    data = envelope(
        memsvc("session", "turns", "b", "s", "--newest-first", "--json", "--server", target)
    )
    assert [one["position"] for one in data["data"]] == list(range(7))[::-1]


def test_sessions_are_listed_shown_forked_and_ended(server: tuple[str, Record]) -> None:
    target, record = server
    memsvc("session", "create", "b", "s", "--agent", "bot", "--server", target)
    assert "bot" in memsvc("session", "list", "b", "--server", target).stdout
    assert "t6" in memsvc("session", "show", "b", "s", "--server", target).stdout
    run = memsvc("session", "fork", "b", "s", "--turn", "t3", "--id", "o", "--server", target)
    assert run.stdout == "banks/b/sessions/o is there.\n"
    assert not record.requests[-1].session.ListFields()
    assert "forked from  s at t3" in memsvc("session", "show", "b", "o", "--server", target).stdout
    assert "no more turns" in memsvc("session", "end", "b", "s", "--server", target).stdout
    missing = memsvc("session", "show", "b", "none", "--server", target)
    assert missing.returncode == exits.NOT_FOUND
    assert "SESSION_NOT_FOUND" in missing.stderr


def test_questions_in_a_session(server: tuple[str, Record]) -> None:
    target, record = server
    time = ("--as-of", TIME, "--recency-days", "2", "--server", target)
    run = memsvc("session", "recall", "b", "s", "where?", "--scope", "bank", "--k", "3", *time)
    assert "s~t0" in run.stdout
    built = memsvc("session", "context", "b", "s", "--recent-turns", "0", *time)
    assert built.stdout == "[1] then so\n"
    assert "[1] s~t1, user in s, 2023-11-14 22:13:20, score" in built.stderr
    assert "5 tokens, 1 of the last turns" in built.stderr
    recalled, context = record.requests
    assert (recalled.scope, recalled.options.k) == (4, 3)
    assert context.max_tokens == 1024
    assert context.HasField("recent_turns")
    for request in record.requests:
        assert (request.as_of, request.recency.half_life) == (WHEN, 172_800)


@pytest.mark.parametrize(
    "wrong", [("--as-of", "yesterday"), ("--as-of", "2026-01-01T00:00:00"), ("--scope", "all")]
)
def test_wrong_arguments_are_told(server: tuple[str, Record], wrong: tuple[str, str]) -> None:
    target, record = server
    run = memsvc("session", "recall", "b", "s", "where?", *wrong, "--server", target, "--json")
    assert run.returncode == exits.USAGE
    assert envelope(run)["ok"] is False
    assert not record.requests


def test_deleting_and_forgetting_need_a_yes(server: tuple[str, Record]) -> None:
    target, record = server
    memsvc("session", "create", "b", "s", "--server", target)
    for command in (("session", "delete", "b", "s"), ("doc", "forget", "b", "--session", "s")):
        assert memsvc(*command, "--server", target).returncode == exits.USAGE
    assert not record.calls["DeleteSession"]
    assert [one.validate_only for one in record.requests if hasattr(one, "compact")] == [True]
    deleted = memsvc("session", "delete", "b", "s", "--yes", "--server", target)
    assert deleted.stdout == "1 sessions with 7 turns deleted.\n"


def test_a_receipt_tells_what_was_forgotten(server: tuple[str, Record]) -> None:
    target, record = server
    command = ("doc", "forget", "b", "d", "e", "--compact", "--server", target)
    dry = memsvc(*command, "--dry-run")
    counted = "3 documents, 2 former versions and 1 sessions (2.0 KiB)"
    assert dry.stdout == f"{counted} would be forgotten.\n"
    assert all(one.validate_only for one in record.requests)
    done = memsvc(*command, "--yes")
    assert f"{counted} are forgotten" in done.stdout
    assert "in no file any more" in done.stdout
    assert record.requests[-1].compact
    nothing = memsvc("doc", "forget", "b", "--yes", "--server", target)
    assert nothing.returncode == exits.USAGE
    versions = memsvc("doc", "versions", "b", "d", "--server", target)
    assert "text 9" in versions.stdout
    assert "text 7" in versions.stdout


def test_the_manual_names_the_commands() -> None:
    manual = (ROOT / "docs" / "cli.md").read_text()
    for part in ("session create", "`doc forget", "`--as-of", "`--recency-days", "`--scope"):
        assert part in manual
