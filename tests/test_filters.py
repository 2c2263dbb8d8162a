"""The filter language: what it lets through, and how it complains."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memsvc_storage import Document

from memsvc.filters import FIELDS, FilterError, compile_filter

_EVENT = datetime(2024, 5, 1, 12, tzinfo=UTC)


def _document(**changes: object) -> Document:
    fields: dict[str, object] = {
        "row_id": 1,
        "bank": "b",
        "document_id": "mail-7",
        "title": "Minutes",
        "text": "",
        "metadata": {"team": "red", "size": 3, "ratio": 0.5, "done": True, "a b": "spaced"},
        "event_time": _EVENT,
        "expire_time": None,
        "create_time": _EVENT,
        "update_time": _EVENT,
        "revision": 1,
        "etag": "e",
        "state": "READY",
    }
    return Document(**{**fields, **changes})  # type: ignore[arg-type]


def _matches(text: str, **changes: object) -> bool:
    predicate = compile_filter(text)
    assert predicate is not None
    return predicate(_document(**changes))


@pytest.mark.parametrize(
    "text",
    [
        'metadata.team = "red"',
        "metadata.team = 'red'",
        'metadata."a b" = "spaced"',
        "metadata.size = 3",
        "metadata.size = 3.0",
        "metadata.size >= 3 AND metadata.size <= 3",
        "metadata.size > -1e3",
        "metadata.ratio < 0.75",
        "metadata.done = true",
        "metadata.done != false",
        'metadata.team IN ("blue", "red")',
        "metadata.size IN (1, 2, 3)",
        'id = "mail-7"',
        'id >= "mail-" AND id < "mail."',
        'title != "Other"',
        "state = READY",
        'state IN ("READY", FAILED)',
        "NOT state = PENDING",
        'event_time = "2024-05-01T12:00:00Z"',
        'event_time = "2024-05-01T14:00:00+02:00"',
        'event_time >= "2024-05-01T00:00:00Z" AND event_time < "2024-05-02T00:00:00Z"',
        'metadata.team = "blue" OR metadata.size = 3 AND state = READY',
        '(metadata.team = "red" OR metadata.size = 9) AND NOT (state = FAILED OR id = "x")',
    ],
)
def test_lets_through(text: str) -> None:
    assert _matches(text)


@pytest.mark.parametrize(
    "text",
    [
        'metadata.team = "Red"',
        "metadata.done = 1",
        "metadata.size = true",
        'metadata.size = "3"',
        "metadata.missing = 1",
        "metadata.missing < 1",
        "metadata.team < 5",
        'expire_time < "2100-01-01T00:00:00Z"',
        '(metadata.team = "blue" OR metadata.size = 3) AND state = FAILED',
        "metadata.size IN (4, 5)",
    ],
)
def test_keeps_out(text: str) -> None:
    assert not _matches(text)


def test_not_equal_is_the_opposite_of_equal_also_for_missing_and_other_types() -> None:
    for comparison in ("metadata.missing", "metadata.team", "metadata.done"):
        assert _matches(f"{comparison} != 7")
        assert not _matches(f"{comparison} = 7")


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_filter_is_no_filter(text: str) -> None:
    assert compile_filter(text) is None


@pytest.mark.parametrize(
    ("text", "position", "complaint"),
    [
        ("team = 1", 0, "unknown field 'team'; known fields: id, title, state"),
        ("id = 'x' AND metadata = 1", 13, "metadata needs a key"),
        ("metadata.a = ", 13, "ends too early"),
        ('(id = "x"', 9, "ends too early"),
        ('id = "x" id', 9, "unexpected 'id'"),
        ('id = "open', 5, "unexpected"),
        ("metadata.a = red", 13, "'red' needs quotes"),
        ("metadata.a ~ 1", 11, "unexpected '~ 1'"),
        ("state = DONE", 8, "one of PENDING, READY, FAILED"),
        ("title = 3", 8, "quoted string"),
        ('event_time > "2024-05-01"', 13, "not an RFC 3339 time"),
        ('event_time > "2024-05-01T12:00:00"', 13, "not an RFC 3339 time"),
        ('event_time > "2024-13-01T12:00:00Z"', 13, "month"),
        ("metadata.a = 1e999", 13, "too large a number"),
        ("metadata.a = NaN", 13, "needs quotes"),
        ("NOT " * 40 + "id = 'x'", 0, "nested more than 32 deep"),
        ("metadata.a = 1 OR " * 300 + "id = 'x'", 4096, "at most 4096 characters"),
    ],
)
def test_says_what_is_wrong_and_where(text: str, position: int, complaint: str) -> None:
    with pytest.raises(FilterError, match=complaint) as caught:
        compile_filter(text)
    assert caught.value.position == position
    assert f"(at character {position + 1})" in str(caught.value)


def test_parentheses_cost_no_depth() -> None:
    assert _matches("(" * 500 + "state = READY" + ")" * 500)


@given(st.text(max_size=60))
def test_any_text_compiles_or_is_a_filter_error(text: str) -> None:
    with suppress(FilterError):
        predicate = compile_filter(text)
        assert predicate is None or predicate(_document()) in (True, False)


@given(st.text(max_size=30))
def test_any_quoted_string_finds_itself(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert _matches(f'title = "{quoted}"', title=value)


def test_the_manual_names_every_field() -> None:
    manual = (Path(__file__).parent.parent / "docs" / "filters.md").read_text()
    assert all(f"`{field}`" in manual for field in FIELDS)
