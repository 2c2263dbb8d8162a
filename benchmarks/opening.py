"""A bank of 100 million tokens on disk: seconds to open it, memory, disk, and a route over it.

    python -m benchmarks.opening [--chunks 1562500] [--passages FILE …]

Its routing keys are those of the growing banks (`benchmarks.growth`); texts, spans and content are
the real bank's, again and again, so no model encodes them. It is stored by the store's own verbs,
and opened as the engine opens banks: by a process of its own, from files that are in no cache.
JSON on stdout, a table on stderr. The whole size takes about 6 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from memsvc_router.api import ROUTING, EncodedDocument
from memsvc_storage import Document, Encoded, NewDocument, Store
from numpy.typing import NDArray

from benchmarks.growth import GIB, Part, Tiles, measured
from benchmarks.processes import alone, resident
from benchmarks.real_bank import CORPORA, RealBank
from benchmarks.timing import Row, as_table
from memsvc.bench.machine import facts, now
from memsvc.engine.banks import Banks
from memsvc.engine.counters import Counters
from memsvc.engine.rest import FINER, at_rest, scale_name
from memsvc.engine.tier import Tier

_BANK = "opening"


def main() -> None:
    """Store, open, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=1_562_500)
    parser.add_argument("--passages", type=Path, action="append", help="of the real bank")
    given = parser.parse_args()
    real = RealBank(given.passages or CORPORA)
    tiles = Tiles.of(real.keys, real.counts, real.queries)
    with TemporaryDirectory(prefix="memsvc-opening-") as name:
        folder, began = Path(name), time.perf_counter()
        store(folder, real, tiles, given.chunks)
        row: Row = {"chunks": float(given.chunks), "stored_s": time.perf_counter() - began}
        files = [path for path in folder.rglob("*") if path.is_file()]
        row["disk_gib"] = sum(path.stat().st_size for path in files) / GIB
        _out_of_cache(files)
        row |= alone(opened, folder, tiles.queries)
    print(as_table([row], list(row)), file=sys.stderr)
    body = {"machine": {**facts(), "time": now()}, **row}
    print(json.dumps(body, indent=1, allow_nan=False))


def store(folder: Path, real: RealBank, tiles: Tiles, chunks: int) -> None:
    """Write a bank of so many chunks, by one transaction and one segment for each tile."""
    to, identity, held = Store.open(folder, None), asdict(real.identity), 0
    to.create_bank(_BANK)
    blocks = [at_rest(block) for block in real.blocks]
    for parts in tiles.documents(chunks):
        texts = [real.texts[number] for number, *_ in parts]
        new = [NewDocument(one.text, one.title, f"d{at}") for at, one in enumerate(texts, held)]
        rows = to.add_documents(_BANK, new).documents
        taken = [row for row in rows if isinstance(row, Document)]
        of_part = zip(taken, parts, strict=True)
        to.commit_blocks(_BANK, identity, [_encoded(r, blocks[p[0]], p) for r, p in of_part])
        held += len(parts)
    to.close()


def _encoded(row: Document, block: EncodedDocument, part: Part) -> Encoded:
    """A real document's block, with other keys and as many chunks as the part has."""
    _, span, keys = part
    kept = {name: values[: span.stop - span.start] for name, values in block.tensors.items()}
    kept[ROUTING], kept[scale_name(ROUTING)], kept[FINER] = (own[span] for own in keys)
    return row.row_id, row.revision, kept, block.tokens


def _out_of_cache(files: Sequence[Path]) -> None:
    os.sync()  # only clean pages can go
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def opened(folder: Path, queries: NDArray[np.float32]) -> Row:
    """Open the bank and route over it; run by a process of its own."""
    before, held = resident("VmRSS"), Store.open(folder, None)
    banks, began = Banks(held, Counters(), lambda: None, tier=lambda: Tier(0)), time.perf_counter()
    live = banks.live(_BANK)
    row: Row = {"open_s": time.perf_counter() - began, "documents": float(len(live))}
    row |= {"before_gib": before / GIB, "opened_gib": resident("VmRSS") / GIB}
    row |= measured(live, queries)
    held.close()
    return row


if __name__ == "__main__":
    main()
