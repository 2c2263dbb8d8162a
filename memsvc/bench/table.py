"""A report as a table for people. Knows names and values, not what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def report_table(report: Mapping[str, Any]) -> Table:
    """One row for each value; nested ones are named by both keys."""
    table = Table("measure", "value", box=None)
    for name, value in report.items():
        for key, one in value.items() if isinstance(value, Mapping) else [("", value)]:
            shown = f"{one:,}" if isinstance(one, int | float) else str(one)
            table.add_row(f"{name} {key}".strip(), shown)
    return table
