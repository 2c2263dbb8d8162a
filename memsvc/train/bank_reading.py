"""A bank's texts and feedback, from its data directory or from the server that has it open.

Knows the store and the SDK; nothing of training. A store has one owner: where a server runs, it is
asked like any client asks it, and where none runs, the directory is opened for a moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memsvc_client import MemoryClient
from memsvc_client.names import last_id
from memsvc_storage import NewFeedback, Store, StoreLocked
from memsvc_storage.database import SQLITE_NAME

_PAGE = 500


@dataclass(frozen=True)
class BankText:
    """A document of a bank."""

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class BankContent:
    """What there is to learn from: documents, oldest first, and feedback by its id."""

    documents: tuple[BankText, ...]
    feedback: dict[str, NewFeedback]


def read_store(bank: str, data_dir: Path, database_url: str | None) -> BankContent:
    """Read a data directory that no server has open.

    Raises BankNotFound; FileNotFoundError where there is no data directory, so that none is made;
    ValueError where a server has it open, saying how to ask that server.
    """
    if database_url is None and not (data_dir / SQLITE_NAME).is_file():
        raise FileNotFoundError(f"{data_dir}: holds no memory; expected the directory of a server")
    try:
        store = Store.open(data_dir, database_url)
    except StoreLocked as error:
        raise ValueError(f"{error}, a server perhaps; name it with --server HOST:PORT") from None
    try:
        documents = tuple(_documents(store, bank))
        return BankContent(documents, dict(_feedback(store, bank)))
    finally:
        store.close()


def read_server(bank: str, client: MemoryClient) -> BankContent:
    """Ask a running server. Raises MemsvcError."""
    documents = client.list_documents(bank, with_text=True, page_size=_PAGE)
    feedback = {
        one.id: NewFeedback(
            one.question,
            tuple(last_id(name) for name in one.relevant),
            tuple(last_id(name) for name in one.irrelevant),
            one.verdict,
            one.answer,
        )
        for one in client.list_feedback(bank, page_size=_PAGE)
    }
    return BankContent(tuple(BankText(d.id, d.title, d.text) for d in documents), feedback)


def _documents(store: Store, bank: str) -> Iterator[BankText]:
    key: str | None = None
    while True:
        page = store.list_documents(bank, _PAGE, key, with_text=True)
        for one in page.items:
            yield BankText(one.document_id, one.title, one.text)
        if (key := page.next_key) is None:
            return


def _feedback(store: Store, bank: str) -> Iterator[tuple[str, NewFeedback]]:
    key: str | None = None
    while True:
        page = store.list_feedback(bank, _PAGE, key)
        for one in page.items:
            yield one.feedback_id, one
        if (key := page.next_key) is None:
            return
