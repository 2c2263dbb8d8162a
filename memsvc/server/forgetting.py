"""Forgetting: which documents a request means, and a receipt for what is gone.

Knows the engine's verb and what the comparison of paths keeps of a bank.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from memsvc_proto.v1 import document_pb2

from memsvc.errors import Reason, invalid
from memsvc.server import checks, convert, names
from memsvc.server.services import Services

_NAMED = 1000  # documents that a receipt names


async def forget(
    services: Services, request: document_pb2.ForgetDocumentsRequest
) -> document_pb2.ForgetDocumentsResponse:
    """Delete what is meant, and on demand see its bytes off the disk. Raises ApiError and what
    `Engine.forget_documents` raises."""
    bank = names.parse_bank("parent", request.parent)
    which = _which(bank, request)
    idempotency = checks.idempotency("ForgetDocuments", request)
    dry_run = request.validate_only
    gone = await services.engine.forget_documents(
        bank, **which, dry_run=dry_run, idempotency=None if dry_run else idempotency
    )
    forgotten_at = None if dry_run else datetime.now(UTC)
    compacted = request.compact and not dry_run
    if compacted:
        await services.engine.compact(bank)
        await asyncio.to_thread(services.retrieval.forget, bank)
    return document_pb2.ForgetDocumentsResponse(
        document_count=len(gone.document_ids),
        version_count=gone.versions,
        session_count=gone.sessions,
        text_bytes=gone.text_bytes,
        documents=[names.document_name(bank, one) for one in gone.document_ids[:_NAMED]],
        forget_time=convert.timestamp(forgotten_at),
        compacted=compacted,
    )


def _which(bank: str, request: document_pb2.ForgetDocumentsRequest) -> dict[str, Any]:
    """The one selection, as `Engine.forget_documents` takes it."""
    kind = request.WhichOneof("which")
    if kind == "documents":
        given = request.documents.names
        checks.count("documents.names", len(given), checks.MAX_FORGET_DOCUMENTS)
        most = checks.MAX_FORGET_DOCUMENTS
        return {"document_ids": names.documents_of(bank, "documents.names", given, most)}
    if kind == "filter":
        allows = checks.document_filter(request.filter)
        if allows is None:
            raise invalid("filter", "is empty: it would mean every document", Reason.INVALID_FILTER)
        return {"filter": allows}
    if kind == "session":
        where, session = names.parse_session("session", request.session)
        if where != bank:
            raise invalid("session", f"is not a session of {names.bank_name(bank)}")
        return {"session_id": session}
    if kind == "agent":
        return {"agent": checks.agent("agent", request.agent, empty=False)}
    raise invalid("which", "say which: documents, filter, session or agent")
