"""The SQL engine of a store: sessions, the single writer, locks and the scrubbing of deleted text.

Knows SQLite and PostgreSQL; knows nothing of tables' meaning. All writes of a store go through
one in-process lock: the store owns its database (a file lock, or an advisory lock on PostgreSQL),
so no two writes ever compete and none needs to be retried.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.orm import Session

from memsvc_storage.errors import StorageError, StoreLocked
from memsvc_storage.models import Base
from memsvc_storage.schema import backups, upgrade

SQLITE_NAME = "memsvc.sqlite3"
ADVISORY_KEY = 0x6D656D737663  # "memsvc"
BUSY_SECONDS = 30.0
RELEASE_SECONDS = 3.0  # a server notices with a delay that a killed owner is gone
# Together less than the 100 connections that a PostgreSQL server allows by default.
POOL = {"pool_size": 16, "max_overflow": 48, "pool_timeout": 120.0}


class Database:
    """Sessions on one database. `sqlite_file` is None on PostgreSQL."""

    def __init__(self, data_dir: Path, database_url: str | None) -> None:
        self.sqlite_file = None if database_url else data_dir / SQLITE_NAME
        self._engine = _sqlite(self.sqlite_file) if self.sqlite_file else _server(database_url)
        self._writing = self._engine.execution_options(memsvc_write=True)
        self._writer = threading.Lock()
        self._closed = False
        self._owner = None if self.sqlite_file else _own(self._engine)
        try:
            upgrade(self._engine, self.sqlite_file)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Wait for the write under way, then close every connection."""
        with self._writer:
            self._closed = True
        if self._owner is not None:
            self._owner.close()
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session over one snapshot."""
        self._check_open()
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """As `read`, for statements over tables, which need no session: a third less time."""
        self._check_open()
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Session]:
        """The one write transaction; durable when the block has ended without an exception."""
        with self._writer:
            self._check_open()
            with Session(self._writing, expire_on_commit=False) as session, session.begin():
                yield session

    def scrub(self) -> None:
        """Make deleted rows unreadable: rebuild the tables, empty the log, drop old backups.

        Raises StorageError if another process keeps reading the SQLite file.
        """
        with self._writer:
            self._check_open()
            if self.sqlite_file is None:
                self._vacuum_full()
                return
            for copy in backups(self.sqlite_file):
                copy.unlink()
            self._vacuum_sqlite()

    def _vacuum_full(self) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in Base.metadata.sorted_tables:
                connection.execute(text(f"VACUUM FULL {table.name}"))

    def _vacuum_sqlite(self) -> None:
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("VACUUM")
            deadline = time.monotonic() + BUSY_SECONDS
            while True:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                row: Any = cursor.fetchone()
                if row[0] == 0:
                    return
                if time.monotonic() > deadline:
                    raise StorageError("deleted text may remain in the log: a reader holds it")
                time.sleep(0.01)
        finally:
            raw.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("the store is closed")


def _sqlite(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS}, **POOL)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own transactions begin late and not before reads; ours begin explicitly.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("memsvc_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _server(database_url: str | None) -> Engine:
    url = make_url(database_url or "")
    if url.get_backend_name() != "postgresql":
        raise ValueError(f"database_url: {url.get_backend_name()!r} is not supported")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return create_engine(url, isolation_level="REPEATABLE READ", pool_pre_ping=True, **POOL)


def _own(engine: Engine) -> Connection:
    """A connection that holds the database's advisory lock for as long as it stays open."""
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    deadline = time.monotonic() + RELEASE_SECONDS
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_KEY}):
        if time.monotonic() > deadline:
            connection.close()
            engine.dispose()
            raise StoreLocked("the database")
        time.sleep(0.05)
    return connection
