"""Stores to test against: SQLite, and a PostgreSQL cluster that lives as long as the test run.

Use with `pytest_plugins = ["tests.storage_support"]`. Blocks are made of seeded random numbers.
PYTEST_DONT_REWRITE: test modules import the helpers here before pytest loads the fixtures.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from memsvc_storage import BlockRow, Document, Encoded, NewDocument, Store, identity_digest
from numpy.typing import NDArray

IDENTITY = {"model": "small", "pool_size": 64, "router_layers": [1, 3]}
OTHER_IDENTITY = {"model": "small", "pool_size": 32, "router_layers": [1, 3]}
DIGEST = identity_digest(IDENTITY)
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Cluster:
    """A running PostgreSQL cluster of our own; `folder` is its data directory and its socket's."""

    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://memsvc@/postgres?host={self.folder}"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            dbname="postgres", user="memsvc", host=str(self.folder), autocommit=True
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@dataclass
class Place:
    """Where a store lives: it can be closed, killed and opened again."""

    data_dir: Path
    database_url: str | None
    cluster: Cluster | None = None
    _opened: list[Store] = field(default_factory=list)

    def open(self) -> Store:
        self.close()
        self._opened.append(Store.open(self.data_dir, self.database_url))
        return self._opened[-1]

    def close(self) -> None:
        for store in self._opened:
            store.close()
        self._opened.clear()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian package `postgresql`)")
    runner = _runner()
    if runner is None:
        pytest.skip("PostgreSQL refuses root, and there is no user `postgres` or no `runuser`")
    folder = Path(tempfile.mkdtemp(prefix="memsvc-pg-"))
    try:
        if runner:
            shutil.chown(folder, "postgres", "postgres")
        make = ["-D", str(folder), "-U", "memsvc", "-A", "trust", "-E", "UTF8", "-N"]
        _call([*runner, str(programs / "initdb"), *make, "--locale=C.UTF-8"], folder)
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        control = [*runner, str(programs / "pg_ctl"), "-D", str(folder), "-w"]
        _call([*control, "-l", str(folder / "log"), "-o", options, "start"], folder)
        try:
            yield Cluster(folder)
        finally:
            _call([*control, "-m", "immediate", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty data directory with its database."""
    place = Place(tmp_path / "data", None)
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        # Far cheaper than a database per test, each of which costs the server a checkpoint.
        cluster.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        place.cluster, place.database_url = cluster, cluster.url
    yield place
    place.close()


@pytest.fixture
def store(place: Place) -> Store:
    """An open store with the empty bank "b"."""
    store = place.open()
    store.create_bank("b")
    return store


def add(store: Store, *texts: str, bank: str = "b") -> list[Document]:
    """Add documents that are all taken."""
    result = store.add_documents(bank, [NewDocument(text, title="A title") for text in texts])
    return documents(result.documents)


def documents(items: Sequence[object]) -> list[Document]:
    """Items of which none was refused."""
    taken = [item for item in items if isinstance(item, Document)]
    assert len(taken) == len(items), items
    return taken


def block(seed: int, chunks: int = 3) -> dict[str, NDArray[Any]]:
    """Tensors of one document, in the shapes of the small model (narrower)."""
    random = np.random.default_rng(seed)
    return {
        "content": random.standard_normal((chunks, 2, 2, 1, 8)).astype(np.float16),
        "routing": random.standard_normal((chunks, 2, 16)).astype(np.float16),
        "spans": random.integers(0, 1000, (chunks, 2), dtype=np.int32),
    }


def encoded(docs: Sequence[Document]) -> list[Encoded]:
    """Blocks for some documents: what `block` makes of their row ids, 1 to 4 chunks."""
    return [
        (doc.row_id, doc.revision, block(doc.row_id, 1 + doc.row_id % 4), 10 * doc.row_id)
        for doc in docs
    ]


def commit(
    store: Store, docs: Sequence[Document], bank: str = "b", identity: dict[str, Any] = IDENTITY
) -> list[BlockRow]:
    """Encode and commit some documents, into one segment."""
    return store.commit_blocks(bank, identity, encoded(docs))


def segment_files(place: Place) -> list[Path]:
    """Everything below the banks' folders."""
    return sorted(path for path in (place.data_dir / "banks").rglob("*") if path.is_file())


def texts_held(texts: Sequence[str], *folders: Path) -> list[str]:
    """Those of some texts whose bytes stand in any file."""
    found: set[str] = set()
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found.update(text for text in texts if text.encode() in content)
    return [text for text in texts if text in found]


def subprocess_environment() -> dict[str, str]:
    """An environment in which a child finds our packages."""
    folders = [str(ROOT), *(str(ROOT / name) for name in ("storage",))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}


def _programs() -> Path | None:
    """The newest installed PostgreSQL's folder of programs."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    found = str(versions[-1]) if versions else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _runner() -> list[str] | None:
    """How to become somebody whom PostgreSQL accepts; None if there is no way."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return None
    return ["runuser", "-u", "postgres", "--"] if shutil.which("runuser") else None


def _call(command: list[str], folder: Path) -> None:
    # Into a file, not a pipe: the server that pg_ctl starts would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        code = subprocess.run(
            command, cwd=folder, stdout=output, stderr=output, check=False
        ).returncode
        output.seek(0)
        assert code == 0, output.read().decode(errors="replace")
