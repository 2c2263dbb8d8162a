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
down_revision = "0005"
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
    assert (caught.value.found, caught.value.known) == ("9999", "0005")
    with create_engine(url).connect() as connection:
        assert connection.scalar(text("SELECT text FROM document_texts")) == "text"


OLD_BANK = """
INSERT INTO banks (id, name, display_name, metadata, text_bytes, document_count, kv_bytes, etag,
    create_time, update_time)
VALUES (1, 'b', '', '{}', 5, 1, 6, 'e', '2026-01-01 00:00:00', '2026-01-01 00:00:00');
INSERT INTO documents (row_id, bank_id, document_id, title, metadata, create_time, update_time,
    revision, etag, state, error, tokens, chunks, text_bytes)
VALUES (1, 1, 'd', '', '{}', '2026-01-01 00:00:00', '2026-01-01 00:00:00', 1, 'e', 'READY', '',
    1, 1, 5);
INSERT INTO document_texts (row_id, text) VALUES (1, 'older');
INSERT INTO identities (digest, body) VALUES ('made-by', '{}');
INSERT INTO segments (segment, bank_id, identity, rows, bytes, header_crc, create_time)
VALUES ('s', 1, 'made-by', 1, 6, 0, '2026-01-01 00:00:00');
INSERT INTO blocks (row_id, segment, revision, row_start, rows, bytes, crc, tokens)
VALUES (1, 's', 1, 0, 1, 6, '{}', 1)
"""


def test_what_made_the_blocks_of_an_older_database_is_known_after_the_upgrade(
    place: Place, tmp_path: Path
) -> None:
    scripts = tmp_path / "scripts"
    later = shutil.ignore_patterns("v0002*", "v0003*", "v0004*", "v0005*", "__pycache__")
    shutil.copytree(SCRIPTS, scripts, ignore=later)
    segment = place.data_dir / "banks" / "1" / "s.safetensors"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"a block")
    url = place.database_url or f"sqlite:///{place.data_dir}/memsvc.sqlite3"
    engine = create_engine(url)
    upgrade(engine, None, scripts)
    with engine.begin() as connection:
        for statement in OLD_BANK.split(";"):
            connection.exec_driver_sql(statement)
    engine.dispose()
    store = place.open()
    assert store.get_bank("b").identity == "made-by"
    assert [row.document_id for row in store.live_blocks("b", "made-by")] == ["d"]
    (fenced,) = store.fence("another", "made-by")
    assert (fenced.bank, fenced.serving) == ("b", True)
    assert [doc.text for doc in store.unmatched("b", 9, 99)] == ["older"]


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
        assert old.execute("SELECT version_num FROM alembic_version").fetchall() == [("0005",)]
    old.close()
    with engine.begin() as connection:
        connection.execute(text("SELECT colour FROM banks"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
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
