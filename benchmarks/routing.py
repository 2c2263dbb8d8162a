"""Routing on a CPU: the scan at 8 bits against exact products and against the reference algorithm,
what it finds on real keys, and how it grows with the bank, beside FAISS.

    python -m benchmarks.routing [--chunks 19531,39062] [--passages FILE … --questions FILE]

The reference algorithm is ours, from its description (MSA §2): scores of every query head against
its key head's chunks, kept whole, then mean over heads, max over tokens, max over documents.
JSON on stdout, tables on stderr. Real keys are those of the repository's own passages, asked about
each title, unless files are given. `benchmarks.growth` says what the growing banks hold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from memsvc_kernels import (
    codes_of,
    collapse_queries,
    document_max,
    eight_bits,
    route_layer,
    route_layer_codes,
    top_documents,
)
from memsvc_router.precision import compute_dtype
from torch import Tensor

from benchmarks.growth import Tiles, grown
from benchmarks.real_bank import CORPORA, RealBank
from benchmarks.timing import as_table, in_turns, slopes
from memsvc.bench.machine import facts, now
from memsvc.bench.metrics import percentiles

_TOKENS, _HEADS, _GROUPS, _WIDTH = 16, 36, 9, 128  # of the reference's row
_REPEATS, _FOUND = 20, 16
_SIZES = "15625,19531,39062,78125,156250,312500,625000,1562500"
_GROWING = ("scan_p50", "coarse_p50", "faiss_flat_p50", "faiss_ivf_p50")


def main() -> None:
    """Print tables and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", default=_SIZES, help="sizes of the banks")
    parser.add_argument("--reference-chunks", type=int, default=33_000)
    parser.add_argument("--passages", type=Path, action="append", help="of the real bank")
    parser.add_argument("--questions", type=Path, help="to it; by default about each title")
    given = parser.parse_args()
    compared = against_reference(given.reference_chunks)
    real = RealBank(given.passages or CORPORA, given.questions)
    kept, tiles = real.recall(), Tiles.of(real.keys, real.counts, real.queries)
    del real
    rows = []
    for size in given.chunks.split(","):
        rows.append(grown(tiles, int(size)))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    growth = slopes(rows, "chunks", _GROWING)
    for table in (rows, [kept], [growth]):
        print(as_table(table, list(table[-1])), file=sys.stderr)
    machine = {**facts(), "floats": str(compute_dtype()), "time": now()}
    body = {"machine": machine, "reference": compared, "real_keys": kept}
    print(json.dumps({**body, "growing": rows, "slopes": growth}, indent=1, allow_nan=False))


def against_reference(chunks: int) -> dict[str, float]:
    """Milliseconds of three ways over the same clustered keys, one query of 16 tokens."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(chunks // 50, _GROUPS, _WIDTH, generator=draw)
    keys = centres.repeat_interleave(50, 0)
    keys = keys + 0.5 * torch.randn(*keys.shape, generator=draw)
    keys = torch.nn.functional.normalize(keys, dim=-1)
    queries = torch.randn(_TOKENS, _HEADS, _WIDTH, generator=draw)
    owner = torch.arange(len(keys)) // 3
    flat = keys.flatten(1).numpy()
    collapsed = collapse_queries(queries, _GROUPS).numpy()[:, None]
    codes = codes_of(*eight_bits(flat[:, None]))
    short = keys.to(compute_dtype())
    ways: dict[str, Callable[[Tensor], object]] = {
        "reference": lambda asked: _reference(asked, short, owner),
        "exact": lambda _: route_layer(collapsed, flat, owner.numpy(), None, _FOUND),
        "scan": lambda _: route_layer_codes(collapsed, codes, 0, owner.numpy(), None, _FOUND),
    }
    times = in_turns(list(ways.values()), [queries] * _REPEATS)
    told = {name: percentiles(own) for name, own in zip(ways, times, strict=True)}
    return {
        "chunks": float(len(keys)),
        **{f"{name}_{of}_ms": value for name, own in told.items() for of, value in own.items()},
        "exact_ratio": told["reference"]["p50"] / told["exact"]["p50"],
        "scan_ratio": told["reference"]["p50"] / told["scan"]["p50"],
    }


def _reference(queries: Tensor, keys: Tensor, owner: Tensor) -> Tensor:
    """Documents [1, k] by scores of all heads, in the floats that are fast here."""
    unit = torch.nn.functional.normalize(queries, dim=-1).to(keys.dtype).transpose(0, 1)
    repeated = keys.transpose(0, 1).repeat_interleave(_HEADS // _GROUPS, 0)
    scores = unit @ torch.nn.functional.normalize(repeated, dim=-1).transpose(1, 2)
    best = scores.float().mean(0).amax(0, keepdim=True)
    return top_documents(document_max(best, owner, int(owner[-1]) + 1), _FOUND)[0]


if __name__ == "__main__":
    main()
