"""The demo's documents as they ship in demo/corpus/. Knows no server."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from memsvc_client import NewDocument

FOLDER = Path(__file__).parent / "corpus"


def files() -> list[Path]:
    """The JSON-lines files, in order."""
    return sorted(FOLDER.glob("*.jsonl"))


def digest() -> str:
    """16 hex digits over every file: tells whether a bank holds this corpus or an older one."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in files())).hexdigest()[:16]


def documents() -> list[NewDocument]:
    """Every document, with its own id. Raises ValueError naming file and line of a bad one."""
    found = []
    for path in files():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                row = json.loads(line)
                found.append(
                    NewDocument(
                        text=row["text"],
                        title=row["title"],
                        document_id=row["id"],
                        metadata=row["metadata"],
                    )
                )
            except (json.JSONDecodeError, KeyError) as error:
                raise ValueError(f"{path}:{number}: {error!r}") from None
    return found
