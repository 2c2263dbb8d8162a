"""What a bank's message tells of models: who serves it, who is loaded, how far re-encoding is.

Knows the engine's dataclasses and the messages; no engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from memsvc_proto.v1 import bank_pb2
from memsvc_router.api import Identity
from memsvc_storage import identity_digest

from memsvc.capacity import Estimate
from memsvc.engine import Routing, Serving
from memsvc.server.names import operation_name

_FIELDS = frozenset(bank_pb2.Identity.DESCRIPTOR.fields_by_name)


def identity(body: Mapping[str, Any]) -> bank_pb2.Identity:
    """An identity as its model described it, which may have been another version's."""
    known = {name: value for name, value in body.items() if name in _FIELDS}
    return bank_pb2.Identity(**known, digest=identity_digest(body))


def add_serving(message: bank_pb2.Bank, serving: Serving, loaded: Identity | None) -> bank_pb2.Bank:
    """Tell in a bank's message what serves it."""
    message.MergeFrom(bank_pb2.Bank(serving_state=serving.state))
    if serving.made_by is not None:
        message.serving_identity.CopyFrom(identity(serving.made_by))
    if loaded is not None:
        message.loaded_identity.CopyFrom(identity(asdict(loaded)))
    if (operation := serving.operation) is not None:
        message.reencoding.CopyFrom(
            bank_pb2.Reencoding(
                operation=operation_name(operation.operation_id),
                total=operation.total,
                done=operation.done,
                failed=operation.failed,
            )
        )
    return message


def add_routing(message: bank_pb2.Bank, routing: Routing | None) -> None:
    """Tell in a bank's message how it is routed over, if it is open."""
    if routing is not None:
        message.routing.CopyFrom(bank_pb2.Routing(**asdict(routing)))


def estimated(model: Identity, found: Estimate) -> bank_pb2.EstimateBankResponse:
    """What so much text would cost."""
    return bank_pb2.EstimateBankResponse(
        identity=identity(asdict(model)),
        document_count=found.documents,
        chunk_count=found.chunks,
        near_bytes=found.near_bytes,
        far_bytes=found.far_bytes,
        hop_bytes=found.hop_bytes,
        k=found.k,
        encode_seconds=found.encode_seconds,
    )
