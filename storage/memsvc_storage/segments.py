"""Segment files: immutable safetensors files, read with `preadv` at known offsets.

Knows bytes, shapes and checksums; knows nothing of SQL, banks or documents. Every tensor has the
same number of rows (axis 0: chunks); a block is a run of rows, the same in every tensor.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "I32": np.dtype(np.int32),
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 1 << 20
_MAX_BUFFERS = 1024  # IOV_MAX on Linux

Tensors = Mapping[str, NDArray[Any]]


class SegmentDamaged(Exception):  # noqa: N818
    """A segment file cannot be read; the message says why."""


@dataclass(frozen=True)
class Span:
    """Rows [start, start + rows) and the CRC32 that each tensor's bytes there must have."""

    start: int
    rows: int
    crc: Mapping[str, int]


@dataclass(frozen=True)
class WrittenSegment:
    """What is to be remembered of a written file: `spans[i]` and `sizes[i]` (bytes) are those of
    block i."""

    rows: int
    bytes: int
    header_crc: int
    spans: list[Span]
    sizes: list[int]


@dataclass(frozen=True)
class _Layout:
    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]
    row_bytes: int
    offset: int  # of row 0, from the start of the file


def write_segment(
    path: Path, blocks: Sequence[Tensors], metadata: Mapping[str, str]
) -> WrittenSegment:
    """Write blocks to a new file and make it durable; `path` never shows a partial file.

    Raises ValueError if the blocks differ in names, dtypes or row shapes, or a block's tensors in
    rows.
    """
    blocks = [{name: np.ascontiguousarray(t) for name, t in block.items()} for block in blocks]
    _check_alike(blocks)
    rows = [len(next(iter(block.values()))) for block in blocks]
    # The widest types first: then every tensor starts at a multiple of its item size.
    names = sorted(blocks[0], key=lambda name: (-blocks[0][name].dtype.itemsize, name))
    header = _header(names, blocks[0], sum(rows), metadata)
    _write_durably(path, [header, *(_bytes(block[name]) for name in names for block in blocks)])
    starts = np.cumsum([0, *rows])
    spans = [
        Span(int(start), count, {name: zlib.crc32(_bytes(block[name])) for name in names})
        for start, count, block in zip(starts, rows, blocks, strict=False)
    ]
    sizes = [sum(tensor.nbytes for tensor in block.values()) for block in blocks]
    return WrittenSegment(sum(rows), len(header) + sum(sizes), zlib.crc32(header), spans, sizes)


class SegmentFile:
    """An open segment file. Reads may run in many threads at once."""

    def __init__(self, path: Path, header_crc: int) -> None:
        """Raises FileNotFoundError, or SegmentDamaged if the header is not the one written."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._layouts = self._read_header(header_crc)
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    @property
    def names(self) -> list[str]:
        """The tensors' names."""
        return list(self._layouts)

    def read(self, spans: Sequence[Span], name: str) -> list[NDArray[Any] | SegmentDamaged]:
        """One array per span, or what is wrong with it. Adjacent spans share a system call."""
        layout = self._layouts.get(name)
        if layout is None:
            return [SegmentDamaged(f"it has no tensor {name!r}") for _ in spans]
        arrays = [np.empty((span.rows, *layout.row_shape), layout.dtype) for span in spans]
        short: set[int] = set()
        for run in _adjacent(spans):
            buffers = [_bytes(arrays[index]) for index in run]
            at = layout.offset + spans[run[0]].start * layout.row_bytes
            got = self._fill(buffers, at)
            for index in run:
                got -= arrays[index].nbytes
                if got < 0:
                    short.add(index)
        return [
            _checked(array, span, name, index in short)
            for index, (array, span) in enumerate(zip(arrays, spans, strict=True))
        ]

    def _fill(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Read consecutive bytes into the buffers; how many, up to where file or disk fail."""
        waiting = [buffer for buffer in buffers if len(buffer)]
        first, start = 0, offset
        while first < len(waiting):
            try:
                got = os.preadv(self._descriptor, waiting[first : first + _MAX_BUFFERS], offset)
            except OSError:
                break
            if got == 0:
                break
            offset += got
            while first < len(waiting) and got >= len(waiting[first]):
                got -= len(waiting[first])
                first += 1
            if got:
                waiting[first] = waiting[first][got:]
        return offset - start

    def _read_header(self, header_crc: int) -> dict[str, _Layout]:
        prefix = os.pread(self._descriptor, _LENGTH.size, 0)
        length = _LENGTH.unpack(prefix)[0] if len(prefix) == _LENGTH.size else _MAX_HEADER + 1
        if length > _MAX_HEADER:
            raise SegmentDamaged("its header is damaged")
        body = os.pread(self._descriptor, length, _LENGTH.size)
        if zlib.crc32(prefix + body) != header_crc:
            raise SegmentDamaged("its header is damaged")
        layouts = {}
        for name, entry in json.loads(body).items():
            if name == "__metadata__":
                continue
            dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"][1:])
            offset = _LENGTH.size + length + entry["data_offsets"][0]
            layouts[name] = _Layout(dtype, shape, math.prod(shape) * dtype.itemsize, offset)
        return layouts


def _check_alike(blocks: Sequence[Tensors]) -> None:
    if not blocks or not blocks[0]:
        raise ValueError("a segment needs at least one block with one tensor")
    kind = {name: (tensor.dtype, tensor.shape[1:]) for name, tensor in blocks[0].items()}
    for dtype, _ in kind.values():
        if dtype not in _CODES:
            raise ValueError(f"tensors of dtype {dtype} cannot be stored")
    for block in blocks:
        if {name: (tensor.dtype, tensor.shape[1:]) for name, tensor in block.items()} != kind:
            raise ValueError("the blocks of one segment differ in names, dtypes or row shapes")
        if len({len(tensor) for tensor in block.values()}) != 1:
            raise ValueError("the tensors of one block differ in rows")


def _header(names: Sequence[str], block: Tensors, rows: int, metadata: Mapping[str, str]) -> bytes:
    body: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        shape = [rows, *block[name].shape[1:]]
        begin, end = end, end + math.prod(shape) * block[name].dtype.itemsize
        code = _CODES[block[name].dtype]
        body[name] = {"dtype": code, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(body, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return _LENGTH.pack(len(text)) + text


def _write_durably(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    new_folder = not path.parent.is_dir()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    if new_folder:
        sync_directory(path.parent.parent)


def sync_directory(directory: Path) -> None:
    """Make renames and removals in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _adjacent(spans: Sequence[Span]) -> list[list[int]]:
    """Indexes of the spans in runs that follow each other without a gap."""
    runs: list[list[int]] = []
    end = -1
    for index in sorted(range(len(spans)), key=lambda index: spans[index].start):
        if spans[index].start != end:
            runs.append([])
        runs[-1].append(index)
        end = spans[index].start + spans[index].rows
    return runs


def _bytes(tensor: NDArray[Any]) -> memoryview:
    """A contiguous tensor's bytes, without a copy."""
    return tensor.reshape(-1).view(np.uint8).data


def _checked(
    array: NDArray[Any], span: Span, name: str, short: bool
) -> NDArray[Any] | SegmentDamaged:
    if short:
        return SegmentDamaged("the file is too short, or the disk fails")
    if zlib.crc32(_bytes(array)) != span.crc.get(name):
        return SegmentDamaged("its checksum is wrong")
    return array
