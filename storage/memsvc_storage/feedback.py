"""Feedback: what users say of the documents that a question found, and of its answer.

Knows feedback rows and the documents they name; nothing of what is learned from them. A feedback
speaks of texts, so it must not outlive them: one that calls a document relevant is deleted with
it; one that only calls it irrelevant forgets it, and is deleted when nothing is left of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy import Select, delete, exists, select
from sqlalchemy.orm import Session

from memsvc_storage.core import BATCH, StoreCore, bank_id, now
from memsvc_storage.errors import DocumentNotFound, FeedbackNotFound, InvalidFeedback
from memsvc_storage.ids import sortable_id
from memsvc_storage.models import DocumentRow, FeedbackDocument, FeedbackRow
from memsvc_storage.replay import record, recorded
from memsvc_storage.rows import Feedback, Idempotency, NewFeedback, Page, Verdict, chunked


class FeedbackVerbs(StoreCore):
    """The verbs on feedback."""

    def record_feedback(
        self, bank: str, new: NewFeedback, idempotency: Idempotency | None = None
    ) -> Feedback:
        """Keep what is said. A repeated request returns what is kept of it by now.

        Raises BankNotFound, DocumentNotFound (nothing is kept then), InvalidFeedback where the
        question is empty, nothing is said of it, or a document is called relevant and not;
        RequestConflict.
        """
        _check(new)
        with self._db.write() as session:
            number = bank_id(session, bank)
            before = recorded(session, idempotency)
            if before is not None:
                found = session.scalar(_named(number, before["feedback_id"]))
                if found is None:
                    return Feedback("", bank=bank, feedback_id=before["feedback_id"])
                return _to_feedback(session, bank, [found])[0]
            rows = _rows(session, bank, number, [*new.relevant, *new.irrelevant])
            made = FeedbackRow(
                bank_id=number,
                feedback_id=sortable_id(),
                question=new.question,
                verdict=new.verdict,
                answer=new.answer,
                create_time=now(),
            )
            session.add(made)
            session.flush()
            for names, relevant in ((new.relevant, True), (new.irrelevant, False)):
                for name in dict.fromkeys(names):
                    session.add(FeedbackDocument(id=made.id, row_id=rows[name], relevant=relevant))
            session.flush()
            record(session, idempotency, {"feedback_id": made.feedback_id})
            return _to_feedback(session, bank, [made])[0]

    def list_feedback(self, bank: str, limit: int, after_key: str | None = None) -> Page[Feedback]:
        """Feedback in the order it was given. Raises BankNotFound, ValueError on a foreign key."""
        after = -1 if after_key is None else int(after_key)
        with self._db.read() as session:
            query = select(FeedbackRow).where(
                FeedbackRow.bank_id == bank_id(session, bank), FeedbackRow.id > after
            )
            rows = list(session.scalars(query.order_by(FeedbackRow.id).limit(limit + 1)))
            items = _to_feedback(session, bank, rows[:limit])
        return Page(items, str(rows[limit - 1].id) if len(rows) > limit else None)

    def delete_feedback(self, bank: str, feedback_id: str) -> None:
        """Forget one feedback; its bytes leave the disk with the next compaction.

        Raises BankNotFound, FeedbackNotFound.
        """
        with self._db.write() as session:
            row = session.scalar(_named(bank_id(session, bank), feedback_id))
            if row is None:
                raise FeedbackNotFound(bank, feedback_id)
            session.execute(delete(FeedbackRow).where(FeedbackRow.id == row.id))


def forget_feedback(session: Session, row_ids: Sequence[int]) -> None:
    """Take back what was said of documents that are about to be deleted."""
    needing: set[int] = set()
    others: set[int] = set()
    for some in chunked(row_ids, BATCH):
        of_these = FeedbackDocument.row_id.in_(some)
        mentions = select(FeedbackDocument.id, FeedbackDocument.relevant).where(of_these)
        for mention in session.execute(mentions):
            (needing if mention.relevant else others).add(mention.id)
        session.execute(delete(FeedbackDocument).where(of_these))
    for batch in chunked(sorted(needing), BATCH):
        session.execute(delete(FeedbackRow).where(FeedbackRow.id.in_(batch)))
    names_none = ~exists().where(FeedbackDocument.id == FeedbackRow.id)
    silent = names_none, FeedbackRow.verdict == "", FeedbackRow.answer == ""
    for batch in chunked(sorted(others), BATCH):
        session.execute(delete(FeedbackRow).where(FeedbackRow.id.in_(batch), *silent))


def _check(new: NewFeedback) -> None:
    if not new.question.strip():
        raise InvalidFeedback("question", "is empty; say which question this is about")
    if not (new.relevant or new.irrelevant or new.verdict or new.answer):
        message = "nothing is said; name documents, the right answer, or whether it was right"
        raise InvalidFeedback("relevant", message)
    if both := set(new.relevant) & set(new.irrelevant):
        message = f"document {min(both)!r} is called relevant, too"
        raise InvalidFeedback("irrelevant", message)
    for field, text in (("question", new.question), ("answer", new.answer)):
        if "\0" in text:  # PostgreSQL cannot hold it
            raise InvalidFeedback(field, "contains a NUL character")


def _rows(session: Session, bank: str, number: int, names: Sequence[str]) -> Mapping[str, int]:
    """The rows of documents by id. Raises DocumentNotFound."""
    found: dict[str, int] = {}
    query = select(DocumentRow.document_id, DocumentRow.row_id).where(DocumentRow.bank_id == number)
    for some in chunked(names, BATCH):
        rows = session.execute(query.where(DocumentRow.document_id.in_(some)))
        found.update((row[0], row[1]) for row in rows)
    for name in names:
        if name not in found:
            raise DocumentNotFound(bank, name)
    return found


def _named(number: int, feedback_id: str) -> Select[FeedbackRow]:
    return select(FeedbackRow).where(
        FeedbackRow.bank_id == number, FeedbackRow.feedback_id == feedback_id
    )


def _to_feedback(session: Session, bank: str, rows: Sequence[FeedbackRow]) -> list[Feedback]:
    """Feedback with the documents that it names, by their ids."""
    named: dict[tuple[int, bool], list[str]] = {}
    query = (
        select(FeedbackDocument.id, FeedbackDocument.relevant, DocumentRow.document_id)
        .join(DocumentRow, DocumentRow.row_id == FeedbackDocument.row_id)
        .order_by(FeedbackDocument.row_id)
    )
    for some in chunked([row.id for row in rows], BATCH):
        for mention in session.execute(query.where(FeedbackDocument.id.in_(some))):
            named.setdefault((mention.id, mention.relevant), []).append(mention.document_id)
    return [
        Feedback(
            question=row.question,
            relevant=tuple(named.get((row.id, True), ())),
            irrelevant=tuple(named.get((row.id, False), ())),
            verdict=cast("Verdict", row.verdict),
            answer=row.answer,
            bank=bank,
            feedback_id=row.feedback_id,
            create_time=row.create_time,
        )
        for row in rows
    ]
