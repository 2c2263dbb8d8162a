"""Routing on a CPU: the scan at 8 bits against exact products and against the reference algorithm,
and how it grows with the bank, beside FAISS. `python -m benchmarks.routing`; JSON and tables.

The reference algorithm is ours, from its description (MSA §2): scores of every query head against
its key head's chunks, kept whole, then mean over heads, max over tokens, max over documents. Keys
of the growing banks are those of a real bank, repeated with noise; so are the vectors for FAISS.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import faiss
import numpy as np
import torch
from memsvc_kernels import collapse_queries, document_max, route, route_layer, top_documents
from memsvc_kernels.scan import (
    Codes,
    codes_of,
    eight_bits,
    full_width,
    route_codes,
    route_layer_codes,
    whole_numbers,
)
from memsvc_router import load_default_model
from memsvc_router.api import ROUTING, DocumentText
from memsvc_router.precision import compute_dtype
from memsvc_router.reading import Reader
from torch import Tensor

from memsvc.bench.machine import facts

_TOKENS, _HEADS, _GROUPS, _WIDTH = 16, 36, 9, 128  # of the reference's row
_REPEATS, _K = 9, 16
_CORPUS = Path(__file__).parent.parent / "demo" / "corpus" / "factbook.jsonl"
_NOISE = 6  # of 127: how far repeated keys stand apart
_GROUP = 1 << 16
Row = dict[str, float]


def main() -> None:
    """Print tables and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", default="156,1563,15625,156250", help="sizes of the banks")
    parser.add_argument("--reference-chunks", type=int, default=33_000)
    parser.add_argument("--passages", type=Path, default=_CORPUS, help="of the real bank")
    given = parser.parse_args()
    compared = against_reference(given.reference_chunks)
    real = RealBank(given.passages)
    recall = real.recall()
    rows = [grown(real, int(size)) for size in given.chunks.split(",")]
    head = ("chunks", "p50_ms", "p95_ms", "gib", "faiss_flat_ms")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(f"{row[name]:.4g}" for name in head) + " |")
    machine = {**facts(), "floats": str(compute_dtype()), "int8_products": whole_numbers()}
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
        flat, codes = self.keys.reshape(len(self.keys), -1), codes_of(*eight_bits(self.keys))
        asked = self.queries.reshape(len(self.queries), -1)
        wanted = route(asked, flat, self.owner, None, _K)[0]
        found = route_codes(self.queries, codes, self.owner, None, _K)[0]
        kept = [len(set(a) & set(b)) / _K for a, b in zip(wanted, found, strict=True)]
        first = float((wanted[:, 0] == found[:, 0]).mean())
        return {"chunks": float(len(flat)), "recall_at_16": float(np.mean(kept)), "first": first}

    def grown(self, chunks: int) -> Codes:
        """Its keys, repeated with noise."""
        codes, scales = eight_bits(self.keys)
        rng = np.random.default_rng(chunks)
        layers = [np.empty((chunks, codes.shape[2]), np.int8) for _ in range(codes.shape[1])]
        for at in range(0, chunks, _GROUP):
            some = np.arange(at, min(at + _GROUP, chunks)) % len(codes)
            for layer, own in enumerate(layers):
                noise = rng.integers(-_NOISE, _NOISE + 1, (len(some), own.shape[1]), np.int8)
                shifted = codes[some, layer].clip(-127 + _NOISE, 127 - _NOISE) + noise
                own[at : at + len(some)] = shifted
        return Codes(layers, scales[np.arange(chunks) % len(scales)])


def grown(real: RealBank, chunks: int) -> Row:
    """One route over so many chunks, and FAISS flat over as many vectors of 384."""
    codes, owner = real.grown(chunks), np.arange(chunks, dtype=np.int64)
    vectors = full_width(codes.codes[0], codes.scales[:, 0])
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    queries = iter(np.tile(real.queries, (1 + 4 * _REPEATS // len(real.queries), 1, 1)))
    ways: list[Callable[[], object]] = [
        lambda: route_codes(next(queries)[None], codes, owner, None, _K),
        lambda: index.search(vectors[:1], _K),
    ]
    ours, theirs = _in_turns(ways)
    size = codes.scales.nbytes + sum(own.nbytes for own in codes.codes)
    return {
        "chunks": float(chunks),
        "p50_ms": 1e3 * median(ours),
        "p95_ms": 1e3 * float(np.quantile(ours, 0.95)),
        "gib": size / (1 << 30),
        "faiss_flat_ms": 1e3 * median(theirs),
    }


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
