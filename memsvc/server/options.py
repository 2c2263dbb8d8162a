"""How a question is asked: its budgets, how its answer is written, and what of the bank it sees.

Each check returns the usable value or raises ApiError (INVALID_ARGUMENT) naming the field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memsvc_proto.v1 import memory_pb2, session_pb2
from memsvc_router.api import AskOptions, Sampling

from memsvc.engine import Recency, Sight
from memsvc.errors import invalid
from memsvc.server import checks

Asking = (
    memory_pb2.RecallRequest
    | memory_pb2.AskRequest
    | memory_pb2.BuildContextRequest
    | session_pb2.RecallInSessionRequest
    | session_pb2.BuildSessionContextRequest
)
_HOPS_SHARE = 0.75  # of the time until a call's deadline; the rest is for the answer itself
_LEAST_SECONDS = 1e-3


def sight(request: Asking) -> Sight:
    """What of the bank a question sees, and whether age counts."""
    return Sight(
        checks.document_filter(request.filter), checks.time("as_of", request), _recency(request)
    )


def _recency(request: Asking) -> Recency | None:
    if not request.HasField("recency"):
        return None
    message = request.recency
    half_life = checks.above_zero("recency.half_life", message.half_life)
    if not message.HasField("weight"):
        return Recency(half_life)
    most = checks.MAX_RECENCY_WEIGHT
    return Recency(half_life, checks.above_zero("recency.weight", message.weight, most))


def options(message: memory_pb2.AskOptions, remaining: float | None) -> AskOptions:
    """The budgets of a question; unset ones take the default. `remaining`: seconds until the
    call's deadline; hops end well before it, so that the answer still arrives."""
    given: dict[str, Any] = {}
    for name, most in (
        ("k", checks.MAX_K),
        ("max_hops", checks.MAX_HOPS),
        ("max_documents", checks.MAX_DOCUMENTS_READ),
        ("max_read_tokens", checks.MAX_READ_TOKENS),
    ):
        if message.HasField(name):
            given[name] = checks.count(f"options.{name}", getattr(message, name), most)
    if message.HasField("min_confidence"):
        given["min_confidence"] = checks.fraction("options.min_confidence", message.min_confidence)
    seconds = [] if remaining is None else [max(remaining * _HOPS_SHARE, _LEAST_SECONDS)]
    if message.HasField("max_seconds"):
        seconds.append(checks.above_zero("options.max_seconds", message.max_seconds))
    return AskOptions(
        **given,
        max_seconds=min(seconds, default=None),
        sampling=sampling(message.sampling),
        exact=message.exact,
    )


def sampling(message: memory_pb2.Sampling) -> Sampling:
    """How an answer is written; what is unset takes the default."""
    field = "options.sampling"
    given: dict[str, Any] = {}
    if message.HasField("max_tokens"):
        tokens = checks.count(f"{field}.max_tokens", message.max_tokens, checks.MAX_ANSWER_TOKENS)
        given["max_tokens"] = tokens
    if message.HasField("temperature"):
        heat = checks.within(f"{field}.temperature", message.temperature, 0, checks.MAX_TEMPERATURE)
        given["temperature"] = heat
    if message.HasField("top_p"):
        given["top_p"] = checks.above_zero(f"{field}.top_p", message.top_p, 1)
    if message.HasField("top_k"):
        given["top_k"] = int(checks.within(f"{field}.top_k", message.top_k, 0, checks.MAX_TOP_K))
    if message.HasField("seed"):
        given["seed"] = message.seed
    return Sampling(**given, stop=_stops(f"{field}.stop", message.stop))


def _stops(field: str, values: Sequence[str]) -> tuple[str, ...]:
    if len(values) > checks.MAX_STOPS:
        raise invalid(field, f"holds {len(values):,} strings; at most {checks.MAX_STOPS} are taken")
    for index, value in enumerate(values):
        if not value:
            raise invalid(f"{field}[{index}]", "is empty")
        checks.text_field(f"{field}[{index}]", value, checks.MAX_STOP_CHARACTERS)
    return tuple(values)
