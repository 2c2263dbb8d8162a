"""The schema: models and migrations agree, older files are backed up, newer ones refused."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from memsvc_storage import SchemaTooNew, Store
from memsvc_storage.models import Base
from memsvc_storage.schema import SCRIPTS, backups, upgrade
from sqlalchemy import create_engine, text

from tests.storage_support import Place, add, texts_held

pytest_plugins = ["tests.storage_support"]

NEXT = '''
"""A column of the future."""
import sqlalchemy as sa
from alembic import op
revision = "9999"
down_revision = "0001"
def upgrade():
    op.add_column("banks", sa.Column("colour", sa.Text()))
'''


def _future(tmp_path: Path) -> Path:
    """Our migration scripts with one more on top."""
    scripts = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, scripts)
    (scripts / "versions" / "v9999_colour.py").write_text(NEXT)
    return scripts


def test_the_migrations_make_what_the_models_say(store: Store, place: Place) -> None:
    store.close()
    url = place.database_url or f"sqlite:///{place.data_dir}/memsvc.sqlite3"
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_a_newer_schema_is_refused_and_left_alone(
    store: Store, place: Place, tmp_path: Path
) -> None:
    add(store, "text")
    store.close()
    url = place.database_url or f"sqlite:///{place.data_dir}/memsvc.sqlite3"
    engine = create_engine(url)
    upgrade(engine, None, _future(tmp_path))
    engine.dispose()
    with pytest.raises(SchemaTooNew) as caught:
        place.open()
    assert (caught.value.found, caught.value.known) == ("9999", "0001")
    with create_engine(url).connect() as connection:
        assert connection.scalar(text("SELECT text FROM document_texts")) == "text"


def test_an_older_file_is_backed_up_until_its_texts_must_go(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    file = data_dir / "memsvc.sqlite3"
    store = Store.open(data_dir)
    assert backups(file) == []
    store.create_bank("b")
    (doc,) = add(store, "a text of before the upgrade")
    store.close()
    engine = create_engine(f"sqlite:///{file}")
    upgrade(engine, file, _future(tmp_path))
    (copy,) = backups(file)
    with sqlite3.connect(copy) as old:
        assert old.execute("SELECT text FROM document_texts").fetchall() == [(doc.text,)]
        assert old.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    old.close()
    with engine.begin() as connection:
        connection.execute(text("SELECT colour FROM banks"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()

    store = Store.open(data_dir)
    assert backups(file) == [copy]
    store.delete_document("b", doc.document_id)
    store.compact("b")
    assert backups(file) == []
    assert texts_held([doc.text], data_dir) == []
    store.close()


def test_an_acknowledged_write_is_forced_to_the_disk(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with store._db.write() as session:
        settings = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    store.close()
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
    }
