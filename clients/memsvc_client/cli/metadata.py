"""`--meta KEY=VALUE`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from memsvc_client.cli.session import Session
from memsvc_client.resources import Scalar


def parse_pairs(run: Session, pairs: Sequence[str]) -> dict[str, Scalar]:
    """Numbers, true and false as such, all else as strings; `"7"` in quotes stays a string.

    Ends the command if a pair has no key.
    """
    metadata: dict[str, Scalar] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise run.usage(f"--meta {pair!r} is not KEY=VALUE")
        metadata[key] = parse_value(value)
    return metadata


def parse_value(text: str) -> Scalar:
    """One value as `parse_pairs` reads it."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return text
    return value if isinstance(value, str | int | float) else text
