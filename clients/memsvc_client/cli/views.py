"""Banks, documents, operations, hits and citations for people: rich tables and lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from memsvc_client.cli.output import clean, one_line
from memsvc_client.events import Citation, Hit, Hop, Usage
from memsvc_client.names import last_id
from memsvc_client.resources import Bank, BankEstimate, Document, Feedback, Identity, Operation

_STATE_STYLES = {
    "READY": "green",
    "DONE": "green",
    "PENDING": "yellow",
    "RUNNING": "cyan",
    "FAILED": "bold red",
    "CANCELLED": "dim",
}
_TITLE, _QUOTE = 40, 60


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1024:
        return f"{count} B"
    amount, units = count / 1024, iter(("KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while amount >= 1024 and unit != "TiB":
        amount, unit = amount / 1024, next(units)
    return f"{amount:.1f} {unit}"


def moment(time: datetime | None) -> str:
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def state(name: str) -> Text:
    return Text(name, style=_STATE_STYLES.get(name, ""))


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def facts(pairs: Iterable[tuple[str, object]]) -> Table:
    """Names and values, one pair a line."""
    made = Table.grid(padding=(0, 2))
    for name, value in pairs:
        shown = value if isinstance(value, Text) else Text(clean(str(value)))
        made.add_row(Text(name, style="bold"), shown)
    return made


def banks(rows: Iterable[Bank]) -> Table:
    numbers = ("documents", "pending", "failed", "text", "blocks", "quota")
    made = table("bank", "display name", *numbers, "created (UTC)", right=numbers)
    for one in rows:
        made.add_row(
            one.id,
            one_line(one.display_name, _TITLE),
            f"{one.document_count:,}",
            f"{one.pending_count:,}",
            f"{one.failed_count:,}",
            size(one.text_bytes),
            size(one.kv_bytes),
            "" if one.quota_bytes is None else size(one.quota_bytes),
            moment(one.create_time),
        )
    return made


def bank(one: Bank) -> Table:
    counts = (
        f"{one.ready_count:,} ready, {one.pending_count:,} pending, {one.failed_count:,} failed"
    )
    return facts(
        [
            ("name", one.name),
            ("display name", one.display_name),
            ("documents", f"{one.document_count:,} ({counts})"),
            ("text", size(one.text_bytes)),
            ("blocks", size(one.kv_bytes)),
            ("quota", "none" if one.quota_bytes is None else size(one.quota_bytes)),
            *((f"metadata.{key}", value) for key, value in sorted(one.metadata.items())),
            ("serving", _serving(one)),
            *_routing(one),
            *_identities(one),
            ("etag", one.etag),
            ("created", moment(one.create_time)),
            ("updated", moment(one.update_time)),
        ]
    )


def _serving(one: Bank) -> str:
    """What answers questions, and how far the re-encoding is."""
    how = {
        "SERVING": "by the loaded model",
        "REENCODING_SERVING_PREVIOUS": "by the previous model, until all is encoded anew",
        "REENCODING_UNAVAILABLE": "not until all is encoded anew",
    }.get(one.serving_state, "not known while the model loads")
    if one.reencoding is None:
        return how
    run = one.reencoding
    failed = f", {run.failed:,} failed" if run.failed else ""
    return f"{how}: {run.done:,} of {run.total:,} documents{failed} ({run.operation})"


def _routing(one: Bank) -> list[tuple[str, object]]:
    """Whether a coarse pass goes first, and what was measured of it."""
    how = one.routing
    if how is None or how.recall is None:
        return []
    kept = f"keeps {how.recall:.2%} of {how.questions} questions' documents"
    gain = "" if how.speedup is None else f", {how.speedup:.1f} times as fast"
    taken = "coarse pass first" if how.coarse else "all keys (a coarse pass does not pay)"
    return [("routing", f"{taken}: {kept}{gain}")]


def _identities(one: Bank) -> list[tuple[str, object]]:
    """What made the blocks, and the loaded model where that is another."""
    rows: list[tuple[str, object]] = []
    if one.serving_identity is not None:
        rows += _identity("blocks of", one.serving_identity)
    if one.loaded_identity is not None and one.loaded_identity != one.serving_identity:
        rows += _identity("loaded", one.loaded_identity)
    return rows


def _identity(head: str, one: Identity) -> list[tuple[str, object]]:
    layers = ", ".join(map(str, one.router_layers))
    return [
        (head, f"{one.model} ({one.digest})"),
        ("  weights", one.weights_digest),
        ("  tokenizer", one.tokenizer_digest),
        ("  template", one.template),
        ("  layout", f"pool size {one.pool_size}, {one.dtype}, router layers {layers}"),
    ]


def estimate(one: BankEstimate) -> Table:
    known = one.encode_seconds is not None
    rows: list[tuple[str, object]] = [
        ("model", f"{one.identity.model} ({one.identity.digest})"),
        ("documents", f"{one.document_count:,}"),
        ("chunks", f"{one.chunk_count:,}"),
        ("in memory", f"{size(one.near_bytes)} of routing keys, read by every hop"),
        ("on disk", size(one.far_bytes)),
        ("read by a hop", f"{size(one.hop_bytes)} from disk, for {one.k} documents"),
        ("encoding", f"{one.encode_seconds:,.0f} s" if known else "not measured yet"),
    ]
    return facts(rows)


def documents(rows: Iterable[Document]) -> Table:
    made = table("id", "title", "state", "tokens", "chunks", "metadata", "updated (UTC)")
    for one in rows:
        pairs = ", ".join(f"{key}={value}" for key, value in sorted(one.metadata.items()))
        made.add_row(
            one.id,
            Text(one_line(one.title, _TITLE)),
            state(one.state),
            "" if one.tokens is None else f"{one.tokens:,}",
            "" if one.chunks is None else f"{one.chunks:,}",
            Text(one_line(pairs, _TITLE)),
            moment(one.update_time),
        )
    return made


def document(one: Document) -> Table:
    return facts(
        [
            ("name", one.name),
            ("title", one.title),
            ("state", state(one.state)),
            *([("error", one.error)] if one.error else []),
            ("tokens", "" if one.tokens is None else f"{one.tokens:,}"),
            ("chunks", "" if one.chunks is None else f"{one.chunks:,}"),
            *((f"metadata.{key}", value) for key, value in sorted(one.metadata.items())),
            ("event time", moment(one.event_time)),
            ("expires", moment(one.expire_time)),
            ("revision", one.revision),
            ("etag", one.etag),
            ("created", moment(one.create_time)),
            ("updated", moment(one.update_time)),
        ]
    )


def feedback(rows: Iterable[Feedback]) -> Table:
    made = table("feedback", "question", "relevant", "irrelevant", "answer", "given (UTC)")
    for one in rows:
        verdict = one.verdict.lower() + (": " if one.verdict and one.answer else "")
        made.add_row(
            one.id,
            Text(one_line(one.question, _QUOTE)),
            ", ".join(last_id(name) for name in one.relevant),
            ", ".join(last_id(name) for name in one.irrelevant),
            Text(one_line(f"{verdict}{one.answer}", _TITLE)),
            moment(one.create_time),
        )
    return made


def operations(rows: Iterable[Operation]) -> Table:
    numbers = ("total", "done", "failed")
    made = table("operation", "bank", "kind", "state", *numbers, "updated (UTC)", right=numbers)
    for one in rows:
        counts = (f"{one.total:,}", f"{one.done:,}", f"{one.failed:,}")
        where = last_id(one.bank)
        made.add_row(one.id, where, one.kind, state(one.state), *counts, moment(one.update_time))
    return made


def hits(rows: Sequence[Hit]) -> Table:
    made = table(
        "#", "document", "title", "score", "hop", "characters", "text", right=("#", "score")
    )
    for place, one in enumerate(rows, 1):
        made.add_row(
            str(place),
            one.document_id,
            Text(one_line(one.title, _TITLE)),
            f"{one.score:.4f}",
            f"{one.hop + 1}{' read' if one.read else ''}",
            f"{one.start}–{one.end}",
            Text(one_line(one.quote, _QUOTE)),
        )
    return made


def _routed(documents: Sequence[str], scores: Sequence[float], shown: int = 5) -> str:
    """The best documents with their scores, on one line."""
    pairs = zip(documents[:shown], scores[:shown], strict=False)
    best = ", ".join(f"{last_id(document)} {score:.3f}" for document, score in pairs)
    return f"{best} and {len(documents) - shown} more" if len(documents) > shown else best


def hop(one: Hop, trace: bool = False) -> Text:
    """One round of routing, on up to three lines; `trace`: and one for each router layer."""
    line = Text.assemble(
        (f"hop {one.index + 1}", "bold cyan"),
        f"  {one.milliseconds:.0f} ms, routed to {len(one.routed)}, read {len(one.read)}",
    )
    if one.routed:
        best = _routed([hit.document for hit in one.routed], [hit.score for hit in one.routed])
        line.append(f"\n  routed  {best}", style="dim")
    for route in one.layers if trace else ():
        best = _routed(route.documents, route.scores)
        line.append(f"\n  layer {route.layer:<2}  {best}", style="dim")
    if one.read:
        line.append(f"\n  read    {', '.join(last_id(name) for name in one.read)}", style="dim")
    return line


def citation(one: Citation, number: int) -> Text:
    """A source: title, where, score, and the words themselves."""
    layer = f", layer {one.layer}" if one.layer >= 0 else ""
    return Text.assemble(
        (f"[{number}] ", "bold"),
        (clean(one.title) or one.document_id, "bold"),
        (
            f"  {one.document_id}, characters {one.start}–{one.end}, score {one.score:.4f}, "
            f"hop {one.hop + 1}{layer}\n",
            "dim",
        ),
        "    “",
        (clean(one.quote), "italic"),
        "”",
    )


def usage(one: Usage) -> Text:
    written = f"{one.answer_tokens:,} tokens written, " if one.answer_tokens else ""
    return Text(
        f"{one.hops} hops, {one.documents_read} documents and {one.read_tokens:,} tokens read, "
        f"{written}{one.total_ms:.0f} ms ({one.forward_ms:.0f} ms in the model)",
        style="dim",
    )
