"""Compare on the wire: checks of the request, and messages of what is told. Knows both shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from google.protobuf.struct_pb2 import Struct
from memsvc_proto.v1 import compare_pb2

from memsvc.bench.corpus import Question
from memsvc.bench.results import Curve, Estimate, PathResult, QuestionResult, Results, Skipped
from memsvc.comparing import Asked, Comparison, Progress, Told
from memsvc.errors import ApiError, Reason, invalid
from memsvc.retrieval import (
    INDEXES,
    PATHS,
    EmbedderError,
    IndexKind,
    PathSettings,
    RetrievalError,
)
from memsvc.server import checks, names
from memsvc.server.bank_facts import identity

MAX_NAME_CHARACTERS = 1024
MAX_ID_CHARACTERS = 128
MAX_ANSWERS = 64
MAX_EVIDENCE = 256


def comparison(request: compare_pb2.CompareRequest, models: frozenset[str] | None) -> Comparison:
    """The request as the engine's side takes it. `models`: those that may be named (None: any).

    Raises ApiError naming the field.
    """
    settings = request.settings
    given: dict[str, Any] = {}
    for name, most in (
        ("k", checks.MAX_K),
        ("max_hops", checks.MAX_HOPS),
        ("max_read_tokens", checks.MAX_READ_TOKENS),
    ):
        if settings.HasField(name):
            given[name] = checks.count(f"settings.{name}", getattr(settings, name), most)
    return Comparison(
        bank=names.parse_bank("bank", request.bank),
        questions=_questions(request.questions),
        paths=_paths(request, models),
        visible=checks.document_filter(settings.filter, "settings.filter"),
        seed=int(checks.within("settings.seed", settings.seed, 0, (1 << 63) - 1)),
        **given,
    )


def refusal(fault: RetrievalError) -> ApiError:
    """Models that cannot be had are the caller's choice."""
    field = "settings.embedder" if isinstance(fault, EmbedderError) else "settings.reranker"
    return invalid(field, str(fault))


def _paths(
    request: compare_pb2.CompareRequest, models: frozenset[str] | None
) -> list[PathSettings]:
    settings = request.settings
    for field, value in (("embedder", settings.embedder), ("reranker", settings.reranker)):
        checks.text_field(f"settings.{field}", value, MAX_NAME_CHARACTERS)
        if value and models is not None and value not in models:
            known = ", ".join(sorted(models)) or "none"
            message = f"{value!r} is not among the server's retrieval_models; there are: {known}"
            raise invalid(f"settings.{field}", message)
    index = settings.index or INDEXES[0]
    if index not in INDEXES:
        raise invalid("settings.index", f"{index!r} is not known; known: {', '.join(INDEXES)}")
    for place, path in enumerate(request.paths):
        if path not in PATHS:
            message = f"{path!r} is not known; known: {', '.join(PATHS)}"
            raise invalid(f"paths[{place}]", message)
        if path in request.paths[:place]:
            raise invalid(f"paths[{place}]", f"{path!r} is there already")
    return [
        PathSettings(
            path,
            index=cast("IndexKind", index),
            embedder=settings.embedder or None,
            reranker=settings.reranker or None,
        )
        for path in request.paths or PATHS
    ]


def _questions(given: Sequence[compare_pb2.CompareQuestion]) -> list[Question]:
    if not 1 <= len(given) <= checks.MAX_COMPARE_QUESTIONS:
        limit = f"1 to {checks.MAX_COMPARE_QUESTIONS:,} are taken"
        raise invalid("questions", f"holds {len(given):,} questions; {limit}")
    taken: set[str] = set()
    made = []
    for place, one in enumerate(given):
        field = f"questions[{place}]"
        question = _question(field, one, str(place + 1))
        if question.id in taken:
            raise invalid(f"{field}.id", f"{question.id!r} names an earlier question already")
        taken.add(question.id)
        made.append(question)
    return made


def _question(field: str, given: compare_pb2.CompareQuestion, place: str) -> Question:
    if given.unanswerable and given.answers:
        raise invalid(f"{field}.unanswerable", "is set, but there are answers")
    for name, values, most in (
        ("answers", given.answers, MAX_ANSWERS),
        ("evidence", given.evidence, MAX_EVIDENCE),
    ):
        if len(values) > most:
            raise invalid(f"{field}.{name}", f"holds {len(values):,}; at most {most} are taken")
    answers = tuple(
        checks.question(f"{field}.answers[{number}]", answer)
        for number, answer in enumerate(given.answers)
    )
    evidence = tuple(
        names.document_id(f"{field}.evidence[{number}]", document)
        for number, document in enumerate(given.evidence)
    )
    return Question(
        id=checks.text_field(f"{field}.id", given.id, MAX_ID_CHARACTERS) or place,
        text=checks.question(f"{field}.text", given.text),
        answers=answers if answers or given.unanswerable else None,
        evidence=evidence,
    )


def nothing_to_ask(message: str) -> ApiError:
    """An empty bank."""
    return ApiError(Reason.BANK_EMPTY, message)


def event(told: Told) -> compare_pb2.CompareEvent:
    """One event of the stream."""
    match told:
        case Progress():
            progress = compare_pb2.CompareProgress(
                path=told.path,
                done=told.done,
                total=told.total,
                seconds_left=told.seconds_left,
            )
            return compare_pb2.CompareEvent(progress=progress)
        case Skipped():
            skipped = compare_pb2.ComparePathSkipped(path=told.path, reason=told.reason)
            return compare_pb2.CompareEvent(path_skipped=skipped)
        case Asked():
            return compare_pb2.CompareEvent(result=_result(told.path, told.result))
        case _:
            summary = _summary(told.results)
            summary.complete = told.complete
            return compare_pb2.CompareEvent(summary=summary)


def _result(path: str, one: QuestionResult) -> compare_pb2.CompareResult:
    question = compare_pb2.CompareQuestion(
        id=one.id,
        text=one.question,
        answers=one.answers,
        evidence=one.evidence,
        unanswerable=one.em is not None and not one.answers,
    )
    return compare_pb2.CompareResult(
        path=path,
        question=question,
        answer=one.answer,
        found=one.found,
        confidence=one.confidence,
        em=one.em,
        f1=one.f1,
        hits=one.hits,
        hops=[
            compare_pb2.CompareHop(
                index=hop.index, routed=hop.routed, read=hop.read, milliseconds=hop.ms
            )
            for hop in one.hops
        ],
        citations=[
            compare_pb2.CompareCitation(
                document=quoted.document, title=quoted.title, quote=quoted.quote
            )
            for quoted in one.citations
        ],
        latency_ms=one.latency_ms,
        read_tokens=one.read_tokens,
        error=one.error,
    )


def _summary(results: Results) -> compare_pb2.CompareSummary:
    settings = results.settings
    return compare_pb2.CompareSummary(
        paths=[_path(one) for one in results.paths],
        pairs=[compare_pb2.ComparePair(**vars(one)) for one in results.pairs],
        curves=[_curve(one) for one in results.curves],
        bank=compare_pb2.CompareBank(**results.bank),
        model=identity(results.model) if results.model else None,
        machine=compare_pb2.CompareMachine(**results.machine),
        settings=compare_pb2.CompareSettings(**settings),
        warnings=results.warnings,
    )


def _path(one: PathResult) -> compare_pb2.ComparePathSummary:
    settings = Struct()
    settings.update(one.settings)
    return compare_pb2.ComparePathSummary(
        path=one.path,
        settings=settings,
        index_bytes=int(one.index.get("bytes", 0)),
        index_build_seconds=one.index.get("build_seconds", 0.0),
        metrics=_intervals(one.metrics),
        latency_ms=one.latency_ms,
        read_tokens=one.read_tokens.get("mean", 0.0),
    )


def _intervals(found: Mapping[str, Estimate]) -> dict[str, compare_pb2.CompareInterval]:
    return {name: compare_pb2.CompareInterval(**vars(one)) for name, one in found.items()}


def _curve(one: Curve) -> compare_pb2.CompareCurve:
    series = {
        path: compare_pb2.CompareCurve.Series(y=[math.nan if y is None else y for y in values])
        for path, values in one.series.items()
    }
    return compare_pb2.CompareCurve(
        title=one.title, x_label=one.x_label, y_label=one.y_label, x=one.x, series=series
    )
