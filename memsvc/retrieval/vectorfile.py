"""Vectors on disk: one file for each bank and embedder, only ever appended to or replaced whole.

A header says what the vectors are; after it each frame holds keys and vectors of documents added
together, with a checksum. A frame that a crash cut short is taken off; any other damage makes the
whole file worth nothing: it is removed, and the vectors are made anew from the texts. Which
documents are gone the file does not know: the bank does. Knows bytes; nothing of embedders.

    magic · u32 length · header (JSON) · u32 CRC32 · frame…
    frame: u32 rows · u32 CRC32 of the count · keys int64 [rows, 3] · vectors float32 [rows, width]
           · u32 CRC32 of keys and vectors
"""

from __future__ import annotations

import json
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memsvc.retrieval.errors import DimensionMismatch

_LOG = logging.getLogger("memsvc.retrieval")
_MAGIC = b"memsvcV1"
_U32 = struct.Struct("<I")
_HEAD = struct.Struct("<II")
_KEY = 3 * 8

Keys = NDArray[np.int64]
Rows = NDArray[np.float32]


class _DamagedError(Exception):
    """The file is not what was written."""


class VectorFile:
    """Used by one thread at a time. `digest` names the embedder, `width` its vectors' numbers."""

    def __init__(self, path: Path, digest: str, width: int) -> None:
        self.path = path
        self._digest, self._width = digest, width

    def load(self) -> tuple[Keys, Rows]:
        """Keys [M, 3] and vectors [M, width]; none where there is no file, or a damaged one.

        Raises DimensionMismatch if the file holds vectors of another width by the same embedder.
        """
        try:
            data = self.path.read_bytes()
            start = self._check_header(data)
            frames = list(self._frames(memoryview(data), start))
        except FileNotFoundError:
            return self._nothing()
        except (_DamagedError, OSError) as damage:
            _LOG.warning("%s: %s; its vectors are made anew from the texts", self.path, damage)
            with suppress(OSError):
                self.path.unlink()
            return self._nothing()
        whole = frames[-1][2] if frames else start
        if whole < len(data):
            _LOG.warning("%s: its last frame was cut short, and is taken off", self.path)
            os.truncate(self.path, whole)
        keys, vectors = zip(*((k, v) for k, v, _ in frames), strict=True) if frames else ((), ())
        none = self._nothing()
        return np.concatenate([none[0], *keys]), np.concatenate([none[1], *vectors])

    def append(self, keys: Keys, vectors: Rows) -> None:
        """Add documents; on disk when this returns. A file that could not be written to is as it
        was. Raises OSError."""
        if not self.path.exists():
            self.rewrite(keys, vectors)
            return
        with self.path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            try:
                file.write(_frame(keys, vectors))
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                os.truncate(self.path, end)
                raise

    def rewrite(self, keys: Keys, vectors: Rows) -> None:
        """Replace all: written aside, synced, renamed. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".tmp")
        with aside.open("wb") as file:
            file.write(self._header())
            if len(keys):
                file.write(_frame(keys, vectors))
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _nothing(self) -> tuple[Keys, Rows]:
        return np.zeros((0, 3), np.int64), np.zeros((0, self._width), np.float32)

    def _header(self) -> bytes:
        body = json.dumps({"embedder": self._digest, "width": self._width}).encode()
        return _MAGIC + _U32.pack(len(body)) + body + _U32.pack(zlib.crc32(body))

    def _check_header(self, data: bytes) -> int:
        """Where the frames begin."""
        at = len(_MAGIC) + _U32.size
        if len(data) < at or data[: len(_MAGIC)] != _MAGIC:
            raise _DamagedError("not a file of vectors")
        length: int = _U32.unpack_from(data, len(_MAGIC))[0]
        body = data[at : at + length]
        if len(data) < at + length + 4 or _U32.unpack_from(data, at + length)[0] != zlib.crc32(
            body
        ):
            raise _DamagedError("its header is damaged")
        header = json.loads(body)
        if header["embedder"] != self._digest:
            raise _DamagedError("made by another embedder")
        if header["width"] != self._width:
            raise DimensionMismatch(
                f"{self.path} holds vectors of {header['width']} numbers, the embedder makes "
                f"{self._width}; remove the file to have it made anew"
            )
        return at + length + 4

    def _frames(self, data: memoryview, at: int) -> Iterator[tuple[Keys, Rows, int]]:
        """Keys, vectors and end of each whole frame."""
        while at + _HEAD.size <= len(data):
            rows, check = _HEAD.unpack_from(data, at)
            if zlib.crc32(_U32.pack(rows)) != check:
                raise _DamagedError(f"the frame at byte {at} is damaged")
            body = at + _HEAD.size
            middle = body + rows * _KEY
            end = middle + rows * self._width * 4
            if end + 4 > len(data):
                return
            if zlib.crc32(data[body:end]) != _U32.unpack_from(data, end)[0]:
                raise _DamagedError(f"the frame at byte {at} is damaged")
            keys = np.frombuffer(data[body:middle], "<i8").reshape(rows, 3)
            vectors = np.frombuffer(data[middle:end], "<f4").reshape(rows, self._width)
            yield keys, vectors, end + 4
            at = end + 4


def _frame(keys: Keys, vectors: Rows) -> bytes:
    body = keys.astype("<i8").tobytes() + vectors.astype("<f4").tobytes()
    count = _U32.pack(len(keys))
    return count + _U32.pack(zlib.crc32(count)) + body + _U32.pack(zlib.crc32(body))
