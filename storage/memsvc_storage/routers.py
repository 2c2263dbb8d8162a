"""Versions of the router that were trained from banks, and which of them serves.

`<data>/routers/<n>/` holds `version.json` and one folder, a whole checkpoint named as the model it
was made from (blocks are known by that name). One file, `current.json`, says what serves, what
served before and what ever did: replacing it is all that a promotion is, so no crash leaves two
versions current, or none. Number 0 stands for the model that the settings name. Knows files and
their order; nothing of what a checkpoint means.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from memsvc_storage.errors import RouterNotFound, RoutersBusy, RoutersDamaged
from memsvc_storage.segments import sync_directory

RouterState: TypeAlias = Literal["candidate", "current", "retired"]

_FOLDER, _CURRENT, _VERSION = "routers", "current.json", "version.json"
_LOCK, _DRAFTING, _DRAFT = "lock", "drafting.lock", ".draft-"


@dataclass(frozen=True)
class RouterVersion:
    """One version. `parent`: what served when it was made; `facts`: what it was made from and what
    was measured, as its maker told; `checkpoint`: the folder to load. A candidate never served."""

    number: int
    parent: int
    create_time: datetime
    facts: Mapping[str, Any]
    checkpoint: Path
    state: RouterState = "candidate"


@dataclass(frozen=True)
class _Pointer:
    current: int = 0
    previous: int = 0
    served: tuple[int, ...] = ()


class RouterVersions:
    """The versions in one data directory. Safe beside other processes, a server among them."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / _FOLDER

    def all(self) -> list[RouterVersion]:
        """Every version, oldest first. Raises RoutersDamaged."""
        pointer = self._pointer()
        return [self._read(number, pointer) for number in self._numbers()]

    def get(self, number: int) -> RouterVersion:
        """Raises RouterNotFound, RoutersDamaged."""
        return self._read(number, self._pointer())

    def current(self) -> RouterVersion | None:
        """What serves; None: the model of the settings. Raises RouterNotFound where the version
        that should serve is gone, and RoutersDamaged."""
        pointer = self._pointer()
        return self._read(pointer.current, pointer) if pointer.current else None

    def previous(self) -> RouterVersion | None:
        """What served before the last change; None: the model of the settings, or what is gone
        since. Raises RoutersDamaged."""
        pointer = self._pointer()
        there = pointer.previous and self._path(pointer.previous).is_dir()
        return self._read(pointer.previous, pointer) if there else None

    @contextmanager
    def drafting(self, model: str) -> Iterator[Path]:
        """An empty folder, named `model`, to write a checkpoint into; `keep` makes a version of
        it. What is not kept is deleted, at the latest by the next draft.

        Raises RoutersBusy if another process is drafting.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder / _DRAFTING, wait=False):
            for left in self._folder.glob(f"{_DRAFT}*"):
                shutil.rmtree(left, ignore_errors=True)
            draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self._folder))
            try:
                (draft / model).mkdir()
                yield draft / model
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def keep(self, checkpoint: Path, parent: int, facts: Mapping[str, Any]) -> RouterVersion:
        """Make a version of a draft: a candidate, durable when this returns. A version that is
        there is whole."""
        draft = checkpoint.parent
        body = {
            "parent": parent,
            "create_time": datetime.now(UTC).isoformat(),
            "checkpoint": checkpoint.name,
            "facts": dict(facts),
        }
        (draft / _VERSION).write_text(json.dumps(body, indent=1) + "\n")
        _sync_tree(draft)
        with self._locked():
            # A number that served once is never another's, even if its folder was deleted.
            number = max([*self._numbers(), *self._pointer().served], default=0) + 1
            draft.rename(self._path(number))
            sync_directory(self._folder)
        return self.get(number)

    def promote(self, number: int) -> None:
        """Let a version serve from the next start of a server on; 0: the model of the settings.

        Raises RouterNotFound.
        """
        with self._locked():
            self._switch(number)

    def rollback(self) -> int:
        """Go back to the parent of what serves; its number. Raises RouterNotFound where nothing
        was promoted, or the parent is gone."""
        with self._locked():
            pointer = self._pointer()
            if not pointer.current:
                raise RouterNotFound(0, "is the model of the settings; nothing comes before it")
            parent = self._read(pointer.current, pointer).parent
            self._switch(parent)
            return parent

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder / _LOCK):
            yield

    def _switch(self, number: int) -> None:
        try:
            pointer = self._pointer()
        except RoutersDamaged:
            pointer = _Pointer()
        if number:
            self._read(number, pointer)
        if number == pointer.current:
            return
        served = {*pointer.served, pointer.current, number} - {0}
        body = {"current": number, "previous": pointer.current, "served": sorted(served)}
        _replace(self._folder / _CURRENT, json.dumps(body) + "\n")

    def _numbers(self) -> list[int]:
        if not self._folder.is_dir():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / str(number)

    def _read(self, number: int, pointer: _Pointer) -> RouterVersion:
        path = self._path(number) / _VERSION
        body = _json(path)
        if body is None:
            raise RouterNotFound(number)
        try:
            found = RouterVersion(
                number,
                int(body["parent"]),
                datetime.fromisoformat(body["create_time"]),
                dict(body["facts"]),
                path.parent / body["checkpoint"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RoutersDamaged(str(path), f"not a version: {error!r}") from None
        if number == pointer.current:
            return replace(found, state="current")
        return replace(found, state="retired") if number in pointer.served else found

    def _pointer(self) -> _Pointer:
        path = self._folder / _CURRENT
        body = _json(path)
        if body is None:
            return _Pointer()
        try:
            served = tuple(int(one) for one in body["served"])
            return _Pointer(int(body["current"]), int(body["previous"]), served)
        except (KeyError, TypeError, ValueError) as error:
            raise RoutersDamaged(str(path), f"does not say what serves: {error!r}") from None


@contextmanager
def _locked(path: Path, wait: bool = True) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise RoutersBusy(str(path.parent)) from None
        yield
    finally:
        os.close(descriptor)


def _json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is no such file. Raises RoutersDamaged."""
    try:
        body = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise RoutersDamaged(str(path), f"not JSON: {error}") from None
    if not isinstance(body, dict):
        raise RoutersDamaged(str(path), "not a JSON object")
    return body


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_directory(path.parent)


def _sync_tree(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(Path(parent) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(parent))
