"""docs/bench.md names every format and task that there is."""

from __future__ import annotations

from pathlib import Path

from memsvc.bench.formats.choosing import FORMATS
from memsvc.bench.needles import TASKS

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "bench.md").read_text(encoding="utf-8")


def test_every_format_and_task_has_its_row() -> None:
    for name in (*FORMATS, *TASKS):
        assert f"\n| `{name}` |" in TEXT
