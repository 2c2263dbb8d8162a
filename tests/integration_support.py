"""What tests of the frameworks' adapters share: a server that answers, and two stores in step."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Literal

from langgraph.store.base import BaseStore, Item, SearchItem
from memsvc_client import MemoryClient

from tests.e2e_support import FACTS, ROOT, serving

DOCS = ROOT / "docs/integrations.md"

_numbers = count()


@contextmanager
def answering(data: Path) -> Iterator[str]:
    """The address of a fresh server that answers questions."""
    with serving(data) as running:
        with MemoryClient(running.target) as client:
            client.wait_serving()
        yield running.target


def run_example(heading: str, address: str) -> str:
    """Run the example of docs/integrations.md under a heading; returns what it prints."""
    part = re.split(rf"^## {heading}.*$", DOCS.read_text(), flags=re.MULTILINE)[1]
    found = re.match(r"(?:\s*\n)*((?:    .*\n|\s*\n)+)", part)
    assert found is not None
    code = textwrap.dedent(found[1]).replace("127.0.0.1:7600", address)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, DOCS.name, "exec"), {})
    return said.getvalue()


def fresh_bank(client: MemoryClient) -> str:
    """An empty bank of a name of its own."""
    return client.create_bank(f"bank-{next(_numbers)}").id


def bank_of_facts(client: MemoryClient, name: str = "") -> str:
    """A bank with the facts of e2e_support, encoded."""
    bank = client.create_bank(name).id if name else fresh_bank(client)
    added = client.add(bank, FACTS)
    assert added.operation is not None
    assert client.wait_operation(added.operation, timeout=120).done == len(FACTS)
    return bank


class Twins:
    """Two stores that are told the same, by the blocking verbs or by the asynchronous ones."""

    def __init__(self, ours: BaseStore, theirs: BaseStore, mode: Literal["sync", "async"]) -> None:
        self._ours = ours
        self._theirs = theirs
        self._mode = mode

    async def both(self, verb: str, *args: Any, **named: Any) -> tuple[Any, Any]:
        """What each of them answers; an error counts as an answer."""
        return (
            await self._answer(self._ours, verb, args, named),
            await self._answer(self._theirs, verb, args, named),
        )

    async def same(self, verb: str, *args: Any, **named: Any) -> Any:
        """What both of them answer, which must be the same (but for times)."""
        ours, theirs = await self.both(verb, *args, **named)
        assert plain(ours) == plain(theirs)
        return plain(ours)

    async def _answer(self, store: BaseStore, verb: str, args: Any, named: Any) -> Any:
        try:
            if self._mode == "async":
                return await getattr(store, f"a{verb}")(*args, **named)
            return getattr(store, verb)(*args, **named)
        except ValueError as error:
            return error


def plain(answer: Any) -> Any:
    """An answer without its times, as something that can be compared."""
    match answer:
        case list():
            return [plain(one) for one in answer]
        case SearchItem():
            return ("found", answer.namespace, answer.key, answer.value, answer.score is None)
        case Item():
            return ("item", answer.namespace, answer.key, answer.value)
        case ValueError():
            return type(answer)
    return answer
