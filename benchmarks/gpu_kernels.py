"""Routing and decoding on a GPU against the reference algorithm: both sides in one run.
`python -m benchmarks.gpu_kernels [--chunks N] [--out FILE]`; says so where there is no GPU.

The reference algorithm is the published method's, as its paper and its traffic describe it: keys
are copied for each query head, scores of each head kept, and reduced in passes of their own; of a
batch, one question after another (which spares it copies for each). Keys and queries are random:
what is measured is work. Legend: as in the kernels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from memsvc_kernels import Spans, collapse_queries, gather_attention, kernel_check, route_batch
from torch import Tensor
from torch.nn.functional import normalize

_HEADS, _GROUPS, _WIDTH = 32, 8, 128  # MSA-4B's
_TOKENS = 16  # of a question
_PER_DOCUMENT = 8  # chunks
_TOP = 16
_ENTRIES = 2048  # chunks that a decoded token sees
_WARM, _REPEATS = 3, 15
_KERNELS = ("score_chunks", "document_best", "top_k", "gather_attention")


@dataclass(frozen=True)
class Row:
    """Median milliseconds of both sides; `agreement`: share of results that are the same, or, of
    attention, the largest difference."""

    name: str
    ours_ms: float
    theirs_ms: float
    target: float
    agreement: float

    @property
    def ratio(self) -> float:
        """How many times as long the other side takes."""
        return self.theirs_ms / self.ours_ms


def main() -> None:
    """Print a table; write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=1 << 18, help="of the bank")
    parser.add_argument("--out", type=Path, help="a file for the figures, as JSON")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU here: nothing was measured")
        return
    device = torch.device("cuda", torch.cuda.current_device())
    checks = {name: kernel_check.disagreement(name, device) or "passed" for name in _KERNELS}
    with torch.inference_mode():
        rows = [*routing(options.chunks, device), decoding(device)]
    report = {
        "device": torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "chunks": options.chunks,
        "checks": checks,
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
    }
    print(f"{report['device']}, {options.chunks} chunks; checks: {checks}")
    for row in rows:
        print(
            f"{row.name:40} {row.ours_ms:9.3f} ms {row.theirs_ms:9.3f} ms {row.ratio:7.2f}x"
            f"  target {row.target:g}x  agreement {row.agreement:.4g}"
        )
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.flush()


def routing(chunks: int, device: torch.device) -> list[Row]:
    """Questions over a bank: one, sixteen, and both with keys at 8 bits."""
    keys = torch.randn(chunks, _GROUPS, _WIDTH, device=device, dtype=torch.bfloat16)
    keys = normalize(keys, dim=-1)
    flat = keys.flatten(1)
    owner = torch.arange(chunks, device=device) // _PER_DOCUMENT
    documents = int(owner[-1]) + 1
    scales = flat.abs().amax(1).float() / 127
    codes = (flat.float() / scales.unsqueeze(1)).round().to(torch.int8)
    rows = []
    for batch, target in ((1, 8.0), (16, 40.0)):
        heads = torch.randn(batch, _TOKENS, _HEADS, _WIDTH, device=device, dtype=torch.bfloat16)
        flat_heads = heads.flatten(0, 1)
        queries = collapse_queries(flat_heads, _GROUPS).reshape(batch, _TOKENS, -1)

        def ours(
            stored: Tensor = flat, by: Tensor | None = None, exact: bool = True, q: Tensor = queries
        ) -> Tensor:
            some = route_batch(q, stored, owner, documents, _TOP, scales=by, exact_queries=exact)
            return some[0]

        def theirs(asked: Tensor = heads) -> Tensor:
            return torch.stack([reference(one, keys, owner, documents) for one in asked])

        name = f"route {batch}"
        rows += [
            compared(f"{name}, bf16 against reference", ours, theirs, target),
            compared(
                f"{name}, rounded queries, likewise", lambda: ours(exact=False), theirs, target
            ),
            compared(f"{name}, int8 against own bf16", lambda: ours(codes, scales), ours, 1.7),
        ]
    return rows


def reference(heads: Tensor, keys: Tensor, owner: Tensor, documents: int) -> Tensor:
    """One question by the reference algorithm. heads [M, H, D]; keys [C, G, D] -> [k]."""
    wide = keys.repeat_interleave(_HEADS // _GROUPS, 1)  # [C, H, D]
    unit = normalize(heads, dim=-1)
    scores = torch.matmul(unit.transpose(0, 1), wide.permute(1, 2, 0))  # [H, M, C]
    by_chunk = scores.mean(0).amax(0)
    best = by_chunk.new_full((documents,), float("-inf"))
    best.scatter_reduce_(0, owner, by_chunk, "amax")
    return best.topk(_TOP).indices


def decoding(device: torch.device) -> Row:
    """One token over 2,048 chunks, a prefix and 64 local tokens, in one layer."""
    shape = (_GROUPS, _WIDTH)
    query, pool, prefix, local = (
        torch.randn(size, device=device, dtype=torch.bfloat16)
        for size in ((1, _HEADS, _WIDTH), (1 << 16, 2, *shape), (3, 2, *shape), (64, 2, *shape))
    )
    selected = torch.randint(0, len(pool), (_ENTRIES,), device=device)
    spans, scale = Spans.of([1], [_ENTRIES], [len(local)]), _WIDTH**-0.5

    def ours() -> Tensor:
        sources = [(one[:, 0], one[:, 1]) for one in (prefix, pool, local)]
        return gather_attention(query, sources[0], sources[1], selected, sources[2], spans, scale)[
            0
        ]

    remembered = torch.cat((prefix, pool[selected], local[:-1]))

    def theirs() -> Tensor:
        """cat + repeat_kv, the memory gathered once before."""
        both = torch.cat((remembered, local[-1:]))
        keys, values = both.repeat_interleave(_HEADS // _GROUPS, 2).permute(1, 2, 0, 3)
        scores = query.transpose(0, 1) @ keys.transpose(1, 2) * scale
        weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        mixed: Tensor = weights @ values
        return mixed.transpose(0, 1)

    return compared("decode step against cat + repeat_kv", ours, theirs, 10.0)


def compared(
    name: str, ours: Callable[[], Tensor], theirs: Callable[[], Tensor], target: float
) -> Row:
    """Both sides in turns, after a few unmeasured ones."""
    one, other = ours(), theirs()
    if one.is_floating_point():
        agreement = float((one.float() - other.float()).abs().max())
    else:
        pairs = zip(one.tolist(), other.tolist(), strict=True)
        agreement = sum(len({*a} & {*b}) for a, b in pairs) / one.numel()
    times = [(_seconds(ours), _seconds(theirs)) for _ in range(_WARM + _REPEATS)][_WARM:]
    mine, others = (median(side) * 1e3 for side in zip(*times, strict=True))
    return Row(name, mine, others, target, agreement)


def _seconds(work: Callable[[], Tensor]) -> float:
    """By the GPU's own clock."""
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    work()
    ended.record()
    ended.synchronize()
    return float(began.elapsed_time(ended)) / 1e3


if __name__ == "__main__":
    main()
