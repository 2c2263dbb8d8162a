"""Every row of the target table in one command: `make bench`, or `python -m benchmarks.targets`.

Both sides of a ratio are measured in the same run. Texts are the repository's own passages, under
new ids as often as it takes; rows for a GPU are measured where there is one. Writes JSON and a
table to `--out`; the scripts of single rows tell more.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from memsvc_client import NewDocument
from memsvc_router.precision import compute_dtype

from benchmarks import decode, gpu_kernels, ingest, routing
from memsvc.bench import machine
from memsvc.bench.lines import read_lines

_TOKENS = 100  # of a passage, about


@dataclass(frozen=True)
class Target:
    """One row: what was measured against what. `least`: whether more is better."""

    row: str
    against: str
    target: float
    measured: float
    least: bool = True

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.measured >= self.target if self.least else self.measured <= self.target


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1_000_000, help="of the bank of texts")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/targets"))
    given = parser.parse_args()
    rows = [*on_cpu(), *through_the_service(given.tokens // _TOKENS), *on_gpu()]
    table = as_table(rows)
    print(table, end="")
    given.out.mkdir(parents=True, exist_ok=True)
    facts = {**machine.facts(), "floats": str(compute_dtype()), "time": machine.now()}
    body = {"machine": facts, "rows": [{**asdict(row), "met": row.met} for row in rows]}
    (given.out / "targets.json").write_text(json.dumps(body, indent=1) + "\n")
    (given.out / "targets.md").write_text(table)


def on_cpu() -> list[Target]:
    """Routing and a decode step."""
    scan, kept = routing.against_reference(33_000), routing.RealBank(routing.CORPUS).recall()
    with torch.inference_mode():
        step = decode.attention_step()
    reference, exact = "the reference algorithm", "16-bit keys, exact"
    return [
        Target("route, exact and collapsed", reference, 25, scan["exact_ratio"]),
        Target("route, 8 bits and rescoring", reference, 40, scan["scan_ratio"]),
        Target("route, 8 bits and rescoring: recall@16", exact, 0.999, kept["recall_at_16"]),
        Target("decode step with memory", "cat + repeat_kv", 10, step["ratio"]),
    ]


def through_the_service(documents: int) -> list[Target]:
    """Adding texts and finding them, by the SDK on loopback."""
    lines = itertools.cycle(read_lines(routing.CORPUS))
    some = itertools.islice(lines, documents)
    texts = [NewDocument(n.text("text"), n.text("title"), f"d{at}") for at, n in enumerate(some)]
    found = ingest.measure(texts, ingest.read_questions(None, texts))
    tokens = f"{found['tokens']:,} tokens"
    library, rag = "the encoder's forward by transformers alone", "FAISS flat RAG, without a server"
    forward = "the same as it serves: packed weights"
    return [
        Target(f"ingest, {tokens}", library, 0.85, found["share_of_library"]),
        Target(f"ingest, {tokens}", forward, 0.85, found["share_of_forward"]),
        Target(f"recall, {tokens}: latency", rag, 1.5, found["recall"]["against_rag"], False),
    ]


def on_gpu() -> list[Target]:
    """What the kernels are measured by, where there is a GPU."""
    if not torch.cuda.is_available():
        return []
    device = torch.device("cuda", torch.cuda.current_device())
    rows = [*gpu_kernels.routing(1 << 18, device), gpu_kernels.decoding(device)]
    return [
        Target(row.name, "the reference on the same GPU", row.target, row.ratio) for row in rows
    ]


def as_table(rows: list[Target]) -> str:
    """Markdown."""
    lines = ["| row | against | target | measured | |", "|---|---|---|---|---|"]
    for row in rows:
        sign = "≥" if row.least else "≤"
        met = "met" if row.met else "missed"
        figures = f"{sign} {row.target:g} | {row.measured:.4g}"
        lines.append(f"| {row.row} | {row.against} | {figures} | {met} |")
    if not torch.cuda.is_available():
        lines.append("\nNo GPU here: its rows were not measured.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
