"""The store: banks, documents, blocks and operations on one data directory.

Knows how the groups of verbs come together, how a directory is opened and locked. The verbs:
`banks`, `document_reads`, `document_writes`, `block_reads`, `block_writes`, `inspection`,
`compaction`, `reencoding`, `operations`, `feedback`, `sessions`, `turns`, `appending`,
`quotes`, `versions`, `forgetting`.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from memsvc_storage.appending import AppendingVerbs
from memsvc_storage.banks import BankVerbs
from memsvc_storage.compaction import CompactionVerbs
from memsvc_storage.database import Database
from memsvc_storage.document_reads import DocumentReads
from memsvc_storage.document_writes import DocumentWrites
from memsvc_storage.errors import StoreLocked
from memsvc_storage.feedback import FeedbackVerbs
from memsvc_storage.forgetting import ForgettingVerbs
from memsvc_storage.operations import OperationVerbs
from memsvc_storage.quotes import QuoteVerbs
from memsvc_storage.recovery import recover
from memsvc_storage.reencoding import ReencodingVerbs
from memsvc_storage.sessions import SessionVerbs
from memsvc_storage.turns import TurnReads
from memsvc_storage.versions import VersionVerbs

LOCK_NAME = "lock"


class Store(
    BankVerbs,
    DocumentReads,
    DocumentWrites,
    CompactionVerbs,
    ReencodingVerbs,
    OperationVerbs,
    FeedbackVerbs,
    SessionVerbs,
    TurnReads,
    AppendingVerbs,
    QuoteVerbs,
    VersionVerbs,
    ForgettingVerbs,
):
    """Synchronous and thread-safe: reads run side by side, writes one after the other. A write
    is durable when its verb returns; every verb raises StorageError once the store is closed."""

    def __init__(self, data_dir: Path, database: Database, lock: int) -> None:
        """Use `Store.open`."""
        super().__init__(data_dir, database)
        self._lock: int | None = lock

    @classmethod
    def open(cls, data_dir: Path, database_url: str | None = None) -> Store:
        """Open a data directory, make it if it is not there, and recover from a crash.

        SQL rows stand in SQLite inside the directory, or in PostgreSQL at `database_url`
        (`postgresql+psycopg://…`). Raises StoreLocked if another process has it open,
        SchemaTooNew, and ValueError for another kind of database.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = _lock(data_dir)
        try:
            store = cls(data_dir, Database(data_dir, database_url), lock)
        except BaseException:
            os.close(lock)
            raise
        try:
            with store._db.write() as session:
                recover(session, data_dir / "banks")
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Wait for the write under way, then let go of the database, the files and the lock.

        Closing twice does no harm.
        """
        self._db.close()
        self._handles.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(data_dir: Path) -> int:
    """A descriptor that holds the directory's lock until it is closed."""
    descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreLocked(str(data_dir)) from None
    return descriptor
