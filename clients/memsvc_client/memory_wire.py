"""Questions between dataclasses and protocol buffers: options out, events in. Knows no channels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from memsvc_proto.v1 import memory_pb2

from memsvc_client.errors import InvalidArgument
from memsvc_client.events import (
    AskOptions,
    Citation,
    Done,
    Event,
    Hit,
    Hop,
    LayerRoute,
    Recall,
    Recency,
    Sampling,
    Token,
    Usage,
)
from memsvc_client.wire import unicode_only


def options(asked: AskOptions) -> memory_pb2.AskOptions:
    """What is None stays unset. Raises InvalidArgument for what cannot be sent."""
    sampling = asked.sampling
    field = "options.sampling.stop"
    if isinstance(sampling.stop, str):  # each of its characters would end the answer
        raise InvalidArgument.of_field(field, "is one string; a sequence of strings is needed")
    stop = [unicode_only(one, field) for one in sampling.stop]
    try:
        return memory_pb2.AskOptions(
            k=asked.k,
            max_hops=asked.max_hops,
            max_documents=asked.max_documents,
            min_confidence=asked.min_confidence,
            max_read_tokens=asked.max_read_tokens,
            max_seconds=asked.max_seconds,
            sampling=_sampling(sampling, stop),
            exact=asked.exact,
        )
    except (TypeError, ValueError) as error:  # no number, or one beyond the field's 32 or 64 bits
        raise InvalidArgument.of_field("options", str(error)) from None


def _sampling(asked: Sampling, stop: Sequence[str]) -> memory_pb2.Sampling:
    return memory_pb2.Sampling(
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        seed=asked.seed,
        stop=stop,
    )


def recency(asked: Recency | None) -> memory_pb2.Recency | None:
    """None stays unset. Raises InvalidArgument for what is no number."""
    if asked is None:
        return None
    half_life = asked.half_life
    seconds = half_life.total_seconds() if isinstance(half_life, timedelta) else half_life
    try:
        return memory_pb2.Recency(half_life=seconds, weight=asked.weight)
    except TypeError as error:
        raise InvalidArgument.of_field("recency", str(error)) from None


def recall(message: memory_pb2.RecallResponse, bank: str, question: str) -> Recall:
    """`bank` (a name) and `question`: what was asked."""
    hits = tuple(hit(one) for one in message.hits)
    hops = tuple(hop(one) for one in message.hops)
    return Recall(hits, hops, usage(message.usage), bank, question)


def hit(message: memory_pb2.Hit) -> Hit:
    return Hit(
        document=message.document,
        score=message.score,
        chunk=message.chunk,
        start=message.start,
        end=message.end,
        hop=message.hop,
        read=message.read,
        title=message.title,
        quote=message.quote,
    )


def hop(message: memory_pb2.Hop) -> Hop:
    return Hop(
        index=message.index,
        given=tuple(message.given),
        routed=tuple(hit(one) for one in message.routed),
        read=tuple(message.read),
        milliseconds=message.milliseconds,
        layers=tuple(
            LayerRoute(one.layer, tuple(one.documents), tuple(one.scores)) for one in message.layers
        ),
    )


def citation(message: memory_pb2.Citation) -> Citation:
    return Citation(
        document=message.document,
        title=message.title,
        quote=message.quote,
        start=message.start,
        end=message.end,
        chunk=message.chunk,
        score=message.score,
        hop=message.hop,
        layer=message.layer,
    )


def usage(message: memory_pb2.Usage) -> Usage:
    return Usage(
        question_tokens=message.question_tokens,
        read_tokens=message.read_tokens,
        documents_read=message.documents_read,
        hops=message.hops,
        forward_ms=message.forward_ms,
        total_ms=message.total_ms,
        answer_tokens=message.answer_tokens,
    )


def event(message: memory_pb2.AskEvent) -> Event | None:
    """None for a kind of event that a newer server may send and this client does not know."""
    match message.WhichOneof("event"):
        case "hop":
            return hop(message.hop)
        case "citation":
            return citation(message.citation)
        case "token":
            return Token(message.token.text)
        case "done":
            done = message.done
            return Done(done.answer, done.found, done.confidence, usage(done.usage))
        case _:
            return None
