# ruff: noqa: N802, ARG002  (the methods' names and arguments are the proto's)
"""FeedbackService: keeps what users say of questions. Knows the engine's verbs on feedback."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from memsvc_proto.v1 import feedback_pb2, feedback_pb2_grpc
from memsvc_storage import Feedback, NewFeedback, Verdict

from memsvc.errors import invalid
from memsvc.server import checks, convert, names
from memsvc.server.services import Services

_Context = grpc.aio.ServicerContext[Any, Any]
_VERDICTS = feedback_pb2.Feedback.Verdict


class FeedbackServicer(feedback_pb2_grpc.FeedbackServiceServicer):
    """Serves `memsvc.v1.FeedbackService`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._engine = services.engine

    async def RecordFeedback(
        self, request: feedback_pb2.RecordFeedbackRequest, context: _Context
    ) -> feedback_pb2.Feedback:
        bank = names.parse_bank("parent", request.parent)
        new = _checked(bank, request.feedback)
        idempotency = checks.idempotency("RecordFeedback", request)
        return _message(await self._engine.record_feedback(bank, new, idempotency))

    async def ListFeedback(
        self, request: feedback_pb2.ListFeedbackRequest, context: _Context
    ) -> feedback_pb2.ListFeedbackResponse:
        bank = names.parse_bank("parent", request.parent)
        limit = checks.page_size(request.page_size)
        binding = ("ListFeedback", bank)
        after = self._services.after_key(request.page_token, *binding)
        page = await self._engine.list_feedback(bank, limit, after)
        return feedback_pb2.ListFeedbackResponse(
            feedback=[_message(one) for one in page.items],
            next_page_token=self._services.tokens.issue(page.next_key, *binding),
        )

    async def DeleteFeedback(
        self, request: feedback_pb2.DeleteFeedbackRequest, context: _Context
    ) -> Empty:
        bank, feedback_id = names.parse_feedback("name", request.name)
        await self._engine.delete_feedback(bank, feedback_id)
        return Empty()


def _checked(bank: str, message: feedback_pb2.Feedback) -> NewFeedback:
    if message.verdict not in _VERDICTS.values():
        raise invalid("feedback.verdict", f"{message.verdict} is no verdict")
    said = message.verdict != _VERDICTS.VERDICT_UNSPECIFIED
    most = checks.MAX_QUESTION_CHARACTERS
    relevant, irrelevant = message.relevant_documents, message.irrelevant_documents
    own = partial(names.documents_of, bank, most=checks.MAX_FEEDBACK_DOCUMENTS)
    return NewFeedback(
        checks.question("feedback.question", message.question),
        own("feedback.relevant_documents", relevant),
        own("feedback.irrelevant_documents", irrelevant),
        cast("Verdict", _VERDICTS.Name(message.verdict) if said else ""),
        checks.text_field("feedback.answer", message.answer.strip(), most),
    )


def _message(row: Feedback) -> feedback_pb2.Feedback:
    return feedback_pb2.Feedback(
        name=names.feedback_name(row.bank, row.feedback_id),
        question=row.question,
        relevant_documents=[names.document_name(row.bank, one) for one in row.relevant],
        irrelevant_documents=[names.document_name(row.bank, one) for one in row.irrelevant],
        verdict=row.verdict or "VERDICT_UNSPECIFIED",
        answer=row.answer,
        create_time=convert.timestamp(row.create_time),
    )
