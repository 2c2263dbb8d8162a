"""Sessions of a store to test against, and short ways to append to them and to list them.

Use with `pytest_plugins = ["tests.storage_support", "tests.storage_session_support"]`.
PYTEST_DONT_REWRITE: test modules import the helpers here before pytest loads the fixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from memsvc_storage import Appended, NewSession, NewTurn, Store, Turn


@pytest.fixture
def chat(store: Store) -> Store:
    """A store with the empty session "s" of the agent "ada"."""
    store.create_session("b", NewSession("s", "ada", {"topic": "travel"}))
    return store


def turn(turn_id: str | None, content: str = "", **fields: Any) -> NewTurn:
    """A turn of a user, whose document says what it says."""
    content = content or f"said in {turn_id}"
    given = {"role": "user", "title": "user", "text": content, **fields}
    return NewTurn(turn_id, content=content, **given)


def append(store: Store, session: str, *names: str | NewTurn, **asked: Any) -> Appended:
    turns = [turn(name) if isinstance(name, str) else name for name in names]
    return store.append_turns("b", session, turns, **asked)


def listed(store: Store, session: str, page: int = 100, newest_first: bool = False) -> list[Turn]:
    """All turns of a session, page by page."""
    found: list[Turn] = []
    key: str | None = None
    while True:
        result = store.list_turns("b", session, page, key, newest_first)
        found += result.items
        key = result.next_key
        if key is None:
            return found


def ids(turns: Sequence[Turn]) -> list[str]:
    return [one.turn_id for one in turns]
