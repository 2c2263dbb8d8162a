"""Every row of the target table in one command: `make bench`, or `python -m benchmarks.targets`.

    python -m benchmarks.targets [--passages FILE …] [--questions FILE] [--tokens 1000000]

Both sides of a ratio are measured in the same run. Texts are the passages of the files given, or
the repository's own; where they hold fewer tokens than the bank is to have they come again, under
new ids, and the row says so. Rows for a GPU are measured where there is one. Writes JSON, with the
figures behind each ratio, and a table to `--out`; the scripts of single rows tell more.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import torch
from memsvc_client import NewDocument
from memsvc_router.precision import compute_dtype

from benchmarks import decode, gpu_kernels, ingest, routing
from benchmarks.real_bank import CORPORA, RealBank, passages_of, tokens_of
from memsvc.bench import machine


@dataclass(frozen=True)
class Target:
    """One row: what was measured against what. `least`: whether more is better; `figures`: those
    behind it."""

    row: str
    against: str
    target: float
    measured: float
    least: bool = True
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.measured >= self.target if self.least else self.measured <= self.target


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1_000_000, help="of the bank, at least")
    parser.add_argument("--passages", type=Path, action="append", help=".jsonl or .jsonl.zst")
    parser.add_argument("--questions", type=Path, help="by default about the passages' titles")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/targets"))
    given = parser.parse_args()
    passages = given.passages or CORPORA
    rows = on_cpu(passages, given.questions)
    rows += through_the_service(passages, given.questions, given.tokens)
    rows += on_gpu()
    table = as_table(rows)
    print(table, end="")
    given.out.mkdir(parents=True, exist_ok=True)
    facts = {**machine.facts(), "floats": str(compute_dtype()), "time": machine.now()}
    body = {"machine": facts, "rows": [{**asdict(row), "met": row.met} for row in rows]}
    (given.out / "targets.json").write_text(json.dumps(body, indent=1, allow_nan=False) + "\n")
    (given.out / "targets.md").write_text(table)


def on_cpu(passages: Sequence[Path], questions: Path | None) -> list[Target]:
    """Routing and a decode step."""
    scan, kept = routing.against_reference(33_000), RealBank(passages, questions).recall()
    threads = (1, torch.get_num_threads())
    steps = {count: decode_step(count) for count in dict.fromkeys(threads)}
    reference, exact = "the reference algorithm", "fp32 keys, exact"
    sizes = f"{kept['queries']:,.0f} questions, {kept['chunks']:,.0f} chunks"
    at_16 = f"route, 8 bits and rescoring: recall@16 ({sizes})"
    return [
        Target("route, exact and collapsed", reference, 25, scan["exact_ratio"], figures=scan),
        Target("route, 8 bits and rescoring", reference, 40, scan["scan_ratio"], figures=scan),
        Target(at_16, exact, 0.999, kept["recall_at_16"], figures=kept),
        *(
            Target(
                f"decode step with memory, threads: {count}",
                "cat + repeat_kv",
                10,
                step["ratio"],
                figures=step,
            )
            for count, step in steps.items()
        ),
    ]


def decode_step(threads: int) -> dict[str, float]:
    """See `decode.attention_step`; with so many threads of torch's on both sides."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            return decode.attention_step()
    finally:
        torch.set_num_threads(before)


def through_the_service(
    passages: Sequence[Path], questions: Path | None, tokens: int
) -> list[Target]:
    """Adding texts and finding them, by the SDK on loopback."""
    texts, different = documents_of(passages, tokens)
    found = ingest.measure(texts, ingest.read_questions(questions, texts))
    times = f", {different:,} different ones again and again" if different < len(texts) else ""
    bank = f"{found['tokens']:,} tokens ({len(texts):,} passages{times})"
    library = "the encoder's forward by transformers alone"
    forward = "the same as it serves: packed weights"
    rows = [
        ("one engine", "its rag path (FAISS flat, embedding and texts)", "recall_in_engine"),
        ("SDK and server", "FAISS flat and embedding: no server, no texts", "recall"),
    ]
    return [
        Target(f"ingest, {bank}", library, 0.85, found["share_of_library"], figures=found),
        Target(f"ingest, {bank}", forward, 0.85, found["share_of_forward"], figures=found),
        *(
            Target(f"recall by {way}, {bank}: latency", rag, 1.5, told["against_rag"], False, told)
            for way, rag, told in ((way, rag, found.pop(name)) for way, rag, name in rows)
        ),
    ]


def documents_of(passages: Sequence[Path], tokens: int) -> tuple[list[NewDocument], int]:
    """Passages that hold at least so many tokens, as the model counts them, and how many of them
    differ: where the files have too few, all of them come again. Raises InputError."""
    lines = passages_of(passages)
    sizes, held = tokens_of(lines), 0
    found: list[NewDocument] = []
    for number in count():
        line = lines[number % len(lines)]
        found.append(NewDocument(line.text("text"), line.text("title", ""), f"d{number}"))
        held += sizes[number % len(lines)]
        if held >= tokens:
            break
    return found, min(len(found), len(lines))


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
