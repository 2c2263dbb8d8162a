"""Compare as a call: questions out, events in. Knows messages and dataclasses, no channels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from memsvc_proto.v1 import compare_pb2

from memsvc_client import wire
from memsvc_client.call import Call, make_call
from memsvc_client.comparing import (
    CompareCitation,
    CompareCurve,
    CompareEvent,
    CompareHop,
    CompareInterval,
    ComparePair,
    ComparePath,
    ComparePathSkipped,
    CompareProgress,
    CompareQuestion,
    CompareResult,
    CompareSettings,
    CompareSummary,
)
from memsvc_client.errors import InvalidArgument
from memsvc_client.names import bank_name, last_id


def compare(
    bank: str,
    questions: Iterable[str | CompareQuestion],
    paths: Sequence[str],
    settings: CompareSettings,
    filter: str,
) -> Call[CompareEvent | None]:
    """The call answers with a stream; each message of it is converted."""
    if isinstance(questions, str):
        raise InvalidArgument.of_field("questions", "is one string; a list of them is needed")
    if isinstance(paths, str):  # each of its characters would be a path
        raise InvalidArgument.of_field("paths", "is one string; a list of them is needed")
    request = compare_pb2.CompareRequest(
        bank=bank_name(bank),
        questions=[_question(one, place) for place, one in enumerate(questions)],
        paths=[wire.unicode_only(path, "paths") for path in paths],
        settings=_settings(settings, filter),
    )
    return make_call("MemoryService/Compare", request, compare_pb2.CompareEvent, event)


def _question(given: str | CompareQuestion, place: int) -> compare_pb2.CompareQuestion:
    one = CompareQuestion(given) if isinstance(given, str) else given
    field = f"questions[{place}]"
    for name, values in (("answers", one.answers), ("evidence", one.evidence)):
        if isinstance(values, str):
            problem = "is one string; a list of them is needed"
            raise InvalidArgument.of_field(f"{field}.{name}", problem)
    return compare_pb2.CompareQuestion(
        id=wire.unicode_only(one.id, f"{field}.id"),
        text=wire.unicode_only(one.text, f"{field}.text"),
        answers=[wire.unicode_only(text, f"{field}.answers") for text in one.answers or ()],
        evidence=[last_id(document) for document in one.evidence],
        unanswerable=one.answers is not None and not one.answers,
    )


def _settings(given: CompareSettings, filter: str) -> compare_pb2.CompareSettings:
    try:
        return compare_pb2.CompareSettings(
            k=given.k,
            max_hops=given.max_hops,
            max_read_tokens=given.max_read_tokens,
            filter=filter,
            index=given.index,
            embedder=given.embedder,
            reranker=given.reranker,
            seed=given.seed,
        )
    except (TypeError, ValueError) as error:  # no number, or one beyond the field's bits
        raise InvalidArgument.of_field("settings", str(error)) from None


def event(message: compare_pb2.CompareEvent) -> CompareEvent | None:
    """None for a kind of event that a newer server may send and this client does not know."""
    match message.WhichOneof("event"):
        case "progress":
            told = message.progress
            left = told.seconds_left if told.HasField("seconds_left") else None
            return CompareProgress(told.path, told.done, told.total, left)
        case "path_skipped":
            return ComparePathSkipped(message.path_skipped.path, message.path_skipped.reason)
        case "result":
            return _result(message.result)
        case "summary":
            return _summary(message.summary)
        case _:
            return None


def _result(message: compare_pb2.CompareResult) -> CompareResult:
    asked = message.question
    known = bool(asked.answers) or asked.unanswerable
    return CompareResult(
        path=message.path,
        question=CompareQuestion(
            asked.text, tuple(asked.answers) if known else None, tuple(asked.evidence), asked.id
        ),
        answer=message.answer,
        found=message.found,
        confidence=message.confidence,
        em=message.em if message.HasField("em") else None,
        f1=message.f1 if message.HasField("f1") else None,
        hits=tuple(message.hits),
        hops=tuple(
            CompareHop(one.index, tuple(one.routed), tuple(one.read), one.milliseconds)
            for one in message.hops
        ),
        citations=tuple(
            CompareCitation(one.document, one.title, one.quote) for one in message.citations
        ),
        latency_ms=message.latency_ms,
        read_tokens=message.read_tokens,
        error=message.error,
    )


def _summary(message: compare_pb2.CompareSummary) -> CompareSummary:
    bank, machine, settings = message.bank, message.machine, message.settings
    limited = settings.HasField("max_read_tokens")
    return CompareSummary(
        complete=message.complete,
        paths=tuple(_path(one) for one in message.paths),
        pairs=tuple(
            ComparePair(one.a, one.b, one.metric, one.difference, one.low, one.high, one.p)
            for one in message.pairs
        ),
        curves=tuple(_curve(one) for one in message.curves),
        bank={
            "documents": bank.documents,
            "tokens": bank.tokens,
            "near_bytes": bank.near_bytes,
            "far_bytes": bank.far_bytes,
        },
        model=wire.identity(message.model),
        machine={
            "cpu": machine.cpu,
            "cores": machine.cores,
            "threads": machine.threads,
            "memory_gb": machine.memory_gb,
            "python": machine.python,
            "torch": machine.torch,
        },
        settings={
            "k": settings.k,
            "max_hops": settings.max_hops,
            "max_read_tokens": settings.max_read_tokens if limited else None,
            "seed": settings.seed,
        },
        warnings=tuple(message.warnings),
    )


def _path(message: compare_pb2.ComparePathSummary) -> ComparePath:
    return ComparePath(
        path=message.path,
        settings=wire.to_scalars(message.settings),
        index_bytes=message.index_bytes,
        index_build_seconds=message.index_build_seconds,
        metrics={
            name: CompareInterval(one.mean, one.low, one.high, one.n)
            for name, one in sorted(message.metrics.items())
        },
        latency_ms=dict(message.latency_ms),
        read_tokens=message.read_tokens,
    )


def _curve(message: compare_pb2.CompareCurve) -> CompareCurve:
    series = {
        path: tuple(None if math.isnan(y) else y for y in one.y)
        for path, one in message.series.items()
    }
    return CompareCurve(message.title, message.x_label, message.y_label, tuple(message.x), series)
