"""Routing on a CPU: the scan at 8 bits against exact products and against the reference algorithm,
and how it grows with the bank, beside FAISS. `python -m benchmarks.routing`; JSON and tables.

The reference algorithm is ours, from its description (MSA §2): scores of every query head against
its key head's chunks, kept whole, then mean over heads, max over tokens, max over documents. Keys
of the growing banks are those of a real bank, and copies of which a quarter of the dimensions have
their signs turned (cosine one half to the real ones); so are the vectors for FAISS.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import faiss
import numpy as np
import torch
from memsvc_kernels import (
    Codes,
    codes_of,
    collapse_queries,
    document_max,
    eight_bits,
    four_more,
    full_width,
    route,
    route_codes,
    route_layer,
    route_layer_codes,
    top_documents,
)
from memsvc_kernels.products import whole_numbers
from memsvc_router import load_default_model
from memsvc_router.api import ROUTING, DocumentText
from memsvc_router.precision import compute_dtype
from memsvc_router.reading import Reader
from torch import Tensor

from memsvc.bench.machine import facts
from memsvc.engine.tier import Keys, Tier

_TOKENS, _HEADS, _GROUPS, _WIDTH = 16, 36, 9, 128  # of the reference's row
_REPEATS, _K = 9, 16
CORPUS = Path(__file__).parent.parent / "demo" / "corpus" / "factbook.jsonl"
_TURNED = 0.25  # of a copy's dimensions
Row = dict[str, float]


def main() -> None:
    """Print tables and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", default="156,1563,15625,156250", help="sizes of the banks")
    parser.add_argument("--reference-chunks", type=int, default=33_000)
    parser.add_argument("--passages", type=Path, default=CORPUS, help="of the real bank")
    given = parser.parse_args()
    compared = against_reference(given.reference_chunks)
    real = RealBank(given.passages)
    recall = real.recall()
    rows = [grown(real, int(size)) for size in given.chunks.split(",")]
    head = ("chunks", "scan_p50", "coarse_p50", "recall", "gib", "coarse_gib", "faiss_flat")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(f"{row.get(name, math.nan):.4g}" for name in head) + " |")
    machine = {**facts(), "floats": str(compute_dtype()), "int8_products": whole_numbers(many=True)}
    body = {"machine": machine, "reference": compared, "real_keys": recall, "growing": rows}
    print(json.dumps(body, indent=1))


def against_reference(chunks: int) -> Row:
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
    ways: list[Callable[[], object]] = [
        lambda: _reference(queries, short, owner),
        lambda: route_layer(collapsed, flat, owner.numpy(), None, _K),
        lambda: route_layer_codes(collapsed, codes, 0, owner.numpy(), None, _K),
    ]
    reference, exact, scan = (1e3 * median(times) for times in _in_turns(ways))
    return {
        "chunks": float(len(keys)),
        "reference_ms": reference,
        "exact_ms": exact,
        "scan_ms": scan,
        "exact_ratio": reference / exact,
        "scan_ratio": reference / scan,
    }


def _reference(queries: Tensor, keys: Tensor, owner: Tensor) -> Tensor:
    """Documents [1, k] by scores of all heads, in the floats that are fast here."""
    unit = torch.nn.functional.normalize(queries, dim=-1).to(keys.dtype).transpose(0, 1)
    repeated = keys.transpose(0, 1).repeat_interleave(_HEADS // _GROUPS, 0)
    scores = unit @ torch.nn.functional.normalize(repeated, dim=-1).transpose(1, 2)
    best = scores.float().mean(0).amax(0, keepdim=True)
    return top_documents(document_max(best, owner, int(owner[-1]) + 1), _K)[0]


class RealBank:
    """A bank of the default model, and questions to it."""

    def __init__(self, passages: Path) -> None:
        rows = [json.loads(line) for line in passages.read_text("utf-8").splitlines()]
        model = load_default_model()
        encoded = model.encode([DocumentText(r["title"], r["text"]) for r in rows])
        self.keys = np.concatenate([one.tensors[ROUTING] for one in encoded]).astype(np.float16)
        self.owner = np.repeat(np.arange(len(rows)), [len(one.tensors[ROUTING]) for one in encoded])
        asked = [f"What is said of {r['title']}?" for r in rows[:: max(1, len(rows) // 64)]]
        found = [Reader(model.network, model.tokenizer, text).look()[0] for text in asked]
        self.queries = np.concatenate(found)

    def recall(self) -> Row:
        """Of the 16 documents that fp16 keys give, the share that codes give."""
        flat, (codes, scales) = self.keys.reshape(len(self.keys), -1), eight_bits(self.keys)
        kept = codes_of(codes, scales, four_more(self.keys, codes, scales))
        asked = self.queries.reshape(len(self.queries), -1)
        wanted = route(asked, flat, self.owner, None, _K)[0]
        found = route_codes(self.queries, kept, self.owner, None, _K)[0]
        same = [len(set(a) & set(b)) / _K for a, b in zip(wanted, found, strict=True)]
        first = float((wanted[:, 0] == found[:, 0]).mean())
        return {"chunks": float(len(flat)), "recall_at_16": float(np.mean(same)), "first": first}

    def grown(self, chunks: int) -> Codes:
        """Its keys, then copies of them that differ."""
        codes, scales = eight_bits(self.keys)
        rng = np.random.default_rng(chunks)
        grown = np.empty((chunks, *codes.shape[1:]), np.int8)
        for at in range(0, chunks, len(codes)):
            turned = rng.random(codes.shape[1:]) < (_TURNED if at else 0)
            grown[at : at + len(codes)] = np.where(turned, -codes, codes)[: chunks - at]
        return codes_of(grown, scales[np.arange(chunks) % len(scales)])


def grown(real: RealBank, chunks: int) -> Row:
    """Milliseconds of one route over so many chunks, by a scan and with a coarse pass, and of FAISS
    flat over as many vectors of 384; `recall`: what the pass keeps of the scan's documents."""
    codes, owner = real.grown(chunks), np.arange(chunks, dtype=np.int64)
    vectors = full_width(codes.codes[0][:, 0], codes.scales[:, 0])
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    keys, tier = Keys(1, codes, owner, np.ones(chunks, np.bool_), owner), Tier(0)
    for query in real.queries:
        tier.rows(keys, query[None])
    began = time.perf_counter()
    tier.tend(keys)
    coded, told = time.perf_counter() - began, tier.told
    queries = itertools.cycle(real.queries)

    def ask(passed: bool) -> object:
        query = next(queries)[None]
        rows = tier.rows(keys, query) if passed else None
        return route_codes(query, codes, owner, None, _K, None, rows)

    ways: list[Callable[[], object]] = [
        lambda: ask(passed=False),
        lambda: ask(passed=True),
        lambda: index.search(vectors[:1], _K),
    ]
    scan, coarse, theirs = _in_turns(ways)
    size = codes.scales.nbytes + sum(own.nbytes for own in codes.codes)
    row = {"chunks": float(chunks), "gib": size / (1 << 30)}
    row |= {"scan_p50": 1e3 * median(scan), "scan_p95": 1e3 * float(np.quantile(scan, 0.95))}
    if told.coarse:
        row |= {"coarse_p50": 1e3 * median(coarse)}
        row |= {"coarse_p95": 1e3 * float(np.quantile(coarse, 0.95))}
    row |= {"coarse_gib": tier.nbytes / (1 << 30), "coarse_seconds": coded}
    return row | {"recall": told.recall or math.nan, "faiss_flat": 1e3 * median(theirs)}


def _in_turns(ways: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Seconds of each way, measured in turns after one unmeasured round."""
    times: list[list[float]] = [[] for _ in ways]
    for number in range(_REPEATS + 1):
        for way, own in zip(ways, times, strict=True):
            began = time.perf_counter()
            way()
            if number:
                own.append(time.perf_counter() - began)
    return times


if __name__ == "__main__":
    main()
