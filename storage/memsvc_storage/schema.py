"""Bringing a database to this package's schema; knows alembic, nothing of banks or documents."""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from memsvc_storage.errors import SchemaTooNew, StorageError

SCRIPTS = Path(__file__).parent / "migrations"
# Alembic's `context` and `op` are process-wide: two stores must not be upgraded side by side.
_alembic = threading.Lock()


def upgrade(engine: Engine, sqlite_file: Path | None, scripts: Path = SCRIPTS) -> None:
    """Bring the database to the newest revision among `scripts`.

    An existing older SQLite file is copied first (`backups` finds the copies).
    Raises SchemaTooNew if the database knows a revision that we do not.
    """
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    directory = ScriptDirectory.from_config(config)
    head = directory.get_current_head()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current == head:
        return
    if current is not None and current not in {s.revision for s in directory.walk_revisions()}:
        raise SchemaTooNew(current, str(head))
    if current is not None and sqlite_file is not None:
        _back_up(sqlite_file, current)
    with _alembic, engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def backups(sqlite_file: Path) -> list[Path]:
    """The copies made before upgrades, oldest first."""
    return sorted(sqlite_file.parent.glob(f"{sqlite_file.name}.before-*"))


def _back_up(sqlite_file: Path, revision: str) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    target = sqlite_file.with_name(f"{sqlite_file.name}.before-{stamp}-from-{revision}")
    source = sqlite3.connect(sqlite_file)
    copy = sqlite3.connect(target)
    try:
        source.backup(copy)
        check = copy.execute("PRAGMA quick_check").fetchone()
        if check != ("ok",):
            raise StorageError(f"the backup {target} is damaged; the upgrade was not begun")
    finally:
        copy.close()
        source.close()
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
