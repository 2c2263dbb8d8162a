"""A cache of open segment files that many threads read through.

Knows files and their users; knows nothing of SQL (a `locate` function tells where a segment lies).
A *retired* segment has been replaced by compaction: its file is unlinked, but who still holds old
block rows can read it through the open descriptor until `release_retired`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from memsvc_storage.segments import SegmentDamaged, SegmentFile

# Together well below the usual limit of 1024 descriptors.
MAX_OPEN = 256
MAX_RETIRED = 256
Locate = Callable[[str], "tuple[Path, int] | None"]


class SegmentUnknown(Exception):  # noqa: N818
    """No row names this segment any more."""


@dataclass
class _Handle:
    file: SegmentFile
    users: int = 0
    retired: bool = False
    released: bool = False


class SegmentHandles:
    """Open files by segment name, the least recently used closed first."""

    def __init__(self, locate: Locate) -> None:
        """`locate` gives a segment's path and its header's checksum, None if it is unknown."""
        self._locate = locate
        self._lock = threading.Lock()
        self._handles: OrderedDict[str, _Handle] = OrderedDict()

    @contextmanager
    def open(self, segment: str) -> Iterator[SegmentFile]:
        """The open file, kept open for the length of the block.

        Raises SegmentUnknown, SegmentDamaged, or FileNotFoundError if a named file is not there.
        """
        handle = self._take(segment)
        try:
            yield handle.file
        finally:
            with self._lock:
                handle.users -= 1
                if handle.released and handle.users == 0:
                    handle.file.close()

    def retire(self, segments: list[str]) -> None:
        """Open segments that are about to be unlinked, so that they stay readable; past
        `MAX_RETIRED` of them readers must find the replacement instead."""
        for segment in segments:
            with self._lock:
                if sum(handle.retired for handle in self._handles.values()) >= MAX_RETIRED:
                    return
            with (
                suppress(SegmentUnknown, SegmentDamaged, FileNotFoundError),
                self.open(segment),
                self._lock,
            ):
                self._handles[segment].retired = True

    def release_retired(self) -> None:
        """Close what was retired; reads under way end in peace."""
        with self._lock:
            for segment in [s for s, handle in self._handles.items() if handle.retired]:
                self._release(segment)

    def close(self) -> None:
        """Close every file; reads under way end in peace."""
        with self._lock:
            for segment in list(self._handles):
                self._release(segment)

    def _take(self, segment: str) -> _Handle:
        with self._lock:
            handle = self._handles.get(segment)
            if handle is not None:
                return self._use(segment, handle)
        located = self._locate(segment)
        if located is None:
            raise SegmentUnknown(segment)
        file = SegmentFile(*located)
        with self._lock:
            handle = self._handles.get(segment)
            if handle is None:
                handle = self._handles[segment] = _Handle(file)
            else:  # another thread was faster
                file.close()
            self._use(segment, handle)
            self._evict()
        return handle

    def _use(self, segment: str, handle: _Handle) -> _Handle:
        handle.users += 1
        self._handles.move_to_end(segment)
        return handle

    def _evict(self) -> None:
        live = [segment for segment, handle in self._handles.items() if not handle.retired]
        idle = [segment for segment in live if self._handles[segment].users == 0]
        for segment in idle[: max(0, len(live) - MAX_OPEN)]:
            self._release(segment)

    def _release(self, segment: str) -> None:
        handle = self._handles.pop(segment)
        handle.released = True
        if handle.users == 0:
            handle.file.close()
