"""Looks whether this machine can serve: settings, disk, store, address, model.

Changes nothing: the store is tried in a temporary directory, and the data directory is only
looked at. Each check ends in a verdict, never in a traceback.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from memsvc.config import ServerConfig, split_address
from memsvc.routers import served_by

_PACKAGES = ("memsvc", "torch", "transformers", "grpcio", "protobuf", "sqlalchemy", "numpy")
_LEAST_FREE_BYTES = 1 << 30


@dataclass(frozen=True)
class Verdict:
    """One check's outcome; `detail` says what was found or what to do."""

    name: str
    ok: bool
    detail: str


def examine(config: ServerConfig) -> list[Verdict]:
    """Run every check, in the order in which a server would need them."""
    checks: list[tuple[str, Callable[[ServerConfig], str]]] = [
        ("packages", _packages),
        ("data directory", _data_directory),
        ("disk space", _disk_space),
        ("store", _store),
        ("address", _address),
        ("model", _model),
    ]
    return [_verdict(name, check, config) for name, check in checks]


class _UnwellError(Exception):
    """A check that failed; the message says what to do."""


def _verdict(name: str, check: Callable[[ServerConfig], str], config: ServerConfig) -> Verdict:
    try:
        return Verdict(name, True, check(config))
    except Exception as error:
        # Doctor reports whatever goes wrong: that is what it is for.
        detail = (
            str(error) if isinstance(error, _UnwellError) else f"{type(error).__name__}: {error}"
        )
        return Verdict(name, False, detail)


def _packages(_: ServerConfig) -> str:
    found = [f"{name} {metadata.version(name)}" for name in _PACKAGES]
    return ", ".join([f"python {platform.python_version()}", *found])


def _data_directory(config: ServerConfig) -> str:
    path = config.data
    if not path.exists():
        parent = _existing(path)
        if not os.access(parent, os.W_OK):
            raise _UnwellError(f"{path} is not there and {parent} is not writable; set --data")
        return f"{path} will be made"
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        raise _UnwellError(f"{path} is not a writable directory; set --data")
    return f"{path} is writable"


def _disk_space(config: ServerConfig) -> str:
    free = shutil.disk_usage(_existing(config.data)).free
    if free < _LEAST_FREE_BYTES:
        raise _UnwellError(f"only {free >> 20} MiB are free at {config.data}")
    return f"{free / (1 << 30):.1f} GiB free"


def _store(config: ServerConfig) -> str:
    from memsvc_storage import Store

    with tempfile.TemporaryDirectory() as directory:
        store = Store.open(Path(directory))
        store.create_bank("doctor")
        store.close()
    if config.database_url is None:
        return "SQLite works"
    from sqlalchemy import create_engine

    engine = create_engine(config.database_url.get_secret_value())
    try:
        engine.connect().close()
    finally:
        engine.dispose()
    return "SQLite works, the database at database_url answers"


def _address(config: ServerConfig) -> str:
    host, port = split_address(config.listen)
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return _neighbour(config.listen)
    return f"{config.listen} is free"


def _neighbour(listen: str) -> str:
    """Who sits on our address: a memsvc is well, anything else is not."""
    from memsvc_client import MemoryClient, MemsvcError

    try:
        with MemoryClient(listen, timeout=5) as client:
            info = client.server_info()
    except MemsvcError as error:
        raise _UnwellError(
            f"{listen} is in use, and not by a memsvc that answers: {error}"
        ) from None
    return f"memsvc {info.version} is running on {listen} ({info.state})"


def _model(config: ServerConfig) -> str:
    from memsvc_router import load_model
    from memsvc_router.api import DocumentText

    started = time.perf_counter()
    served = served_by(config)
    model = load_model(served.model)
    loaded = time.perf_counter() - started
    blocks = model.encode([DocumentText("A test", "The doctor reads this sentence.")])
    if blocks[0].tokens < 1:
        raise _UnwellError("the model encodes a sentence to nothing")
    version = f", router version {served.version}," if served.version else ""
    named = f"{model.identity.model} ({model.identity.digest}){version}"
    return f"{named} loads in {loaded:.1f} s and encodes"


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())
