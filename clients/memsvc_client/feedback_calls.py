"""The verbs of FeedbackService as calls. Defaults are the clients' business."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from google.protobuf.empty_pb2 import Empty
from memsvc_proto.v1 import feedback_pb2

from memsvc_client import wire
from memsvc_client.call import Call, Page, make_call, new_uuid
from memsvc_client.errors import InvalidArgument
from memsvc_client.events import Answer, Recall
from memsvc_client.names import bank_name, document_names, feedback_name
from memsvc_client.resources import Feedback, Verdict

_VERDICT = feedback_pb2.Feedback.Verdict
_UNSAID = "VERDICT_UNSPECIFIED"


def record_feedback(
    bank: str,
    question: str,
    relevant: Iterable[str],
    irrelevant: Iterable[str],
    verdict: Verdict,
    answer: str,
    request_id: str | None,
) -> Call[Feedback]:
    """Documents by id or full name. Raises InvalidArgument for what cannot be sent."""
    if verdict and verdict not in _VERDICT.keys():  # noqa: SIM118 - protobuf's wrapper is no dict
        raise InvalidArgument.of_field("verdict", f"{verdict!r} is neither RIGHT nor WRONG")
    said = feedback_pb2.Feedback(
        question=wire.unicode_only(question, "question"),
        relevant_documents=document_names(bank, relevant, "relevant"),
        irrelevant_documents=document_names(bank, irrelevant, "irrelevant"),
        verdict=verdict or _UNSAID,
        answer=wire.unicode_only(answer, "answer"),
    )
    request = feedback_pb2.RecordFeedbackRequest(
        parent=bank_name(bank), feedback=said, request_id=request_id or new_uuid()
    )
    return make_call("FeedbackService/RecordFeedback", request, feedback_pb2.Feedback, _feedback)


def feedback(
    about: Recall | Answer,
    useful: bool | None,
    documents: Iterable[str] | None,
    answer: str,
    request_id: str | None,
) -> Call[Feedback]:
    """`documents`: those that were needed. Raises InvalidArgument for what cannot be sent."""
    if not about.bank:
        raise InvalidArgument.of_field("about", "is not what a client's recall or ask returned")
    verdict: Verdict = ""
    if isinstance(about, Recall):
        found = [hit.document for hit in about.hits if hit.read]
    else:
        found = [citation.document for citation in about.citations]
        verdict = "" if useful is None else "RIGHT" if useful else "WRONG"
    needed = found if useful else []
    if documents is not None:
        needed = document_names(about.bank, documents, "documents")
    # A wrong answer may well have been read from the right documents; only of a recall does
    # "of no use" speak of what was found.
    in_vain = found if useful is False and isinstance(about, Recall) else []
    irrelevant = [one for one in dict.fromkeys(in_vain) if one not in needed]
    relevant = dict.fromkeys(needed)
    return record_feedback(
        about.bank, about.question, relevant, irrelevant, verdict, answer, request_id
    )


def list_feedback(bank: str, page_size: int, page_token: str) -> Call[Page[Feedback]]:
    def convert(message: feedback_pb2.ListFeedbackResponse) -> Page[Feedback]:
        return Page(tuple(_feedback(one) for one in message.feedback), message.next_page_token)

    request = feedback_pb2.ListFeedbackRequest(
        parent=bank_name(bank), page_size=page_size, page_token=page_token
    )
    response = feedback_pb2.ListFeedbackResponse
    return make_call("FeedbackService/ListFeedback", request, response, convert)


def delete_feedback(bank: str, feedback: str) -> Call[None]:
    request = feedback_pb2.DeleteFeedbackRequest(name=feedback_name(bank, feedback))
    return make_call("FeedbackService/DeleteFeedback", request, Empty, lambda _: None)


def _feedback(message: feedback_pb2.Feedback) -> Feedback:
    stamped = message.HasField("create_time")
    verdict = _VERDICT.Name(message.verdict)
    return Feedback(
        name=message.name,
        question=message.question,
        relevant=tuple(message.relevant_documents),
        irrelevant=tuple(message.irrelevant_documents),
        verdict=cast("Verdict", "" if verdict == _UNSAID else verdict),
        answer=message.answer,
        create_time=wire.to_datetime(message.create_time) if stamped else None,
    )
