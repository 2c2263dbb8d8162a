"""Feedback in the store: kept with its bank and documents, and gone with them."""

from __future__ import annotations

import pytest
from memsvc_storage import (
    BankNotFound,
    DocumentNotFound,
    FeedbackNotFound,
    Idempotency,
    InvalidFeedback,
    NewFeedback,
    RequestConflict,
    Store,
)

from tests.storage_support import Place, add, commit, texts_held

pytest_plugins = ["tests.storage_support"]

QUESTION = "Where does the zebra-quartz sleep?"


def _questions(store: Store, bank: str = "b") -> list[str]:
    return [one.question for one in store.list_feedback(bank, 100).items]


def test_feedback_is_there_after_a_restart(store: Store, place: Place) -> None:
    useful, useless = (doc.document_id for doc in add(store, "a", "b"))
    new = NewFeedback(QUESTION, (useful,), (useless,), "WRONG", "under the stairs")
    made = store.record_feedback("b", new)
    (found,) = place.open().list_feedback("b", 10).items
    assert found == made
    assert (found.question, found.relevant, found.irrelevant) == (QUESTION, (useful,), (useless,))
    assert (found.verdict, found.answer) == ("WRONG", "under the stairs")


def test_pages_hold_all_feedback_in_its_order(store: Store) -> None:
    for number in range(5):
        store.record_feedback("b", NewFeedback(f"question {number}", verdict="RIGHT"))
    found, key = [], None
    while True:
        page = store.list_feedback("b", 2, key)
        found += [one.question for one in page.items]
        if (key := page.next_key) is None:
            break
    assert found == [f"question {number}" for number in range(5)]


def test_a_request_repeated_is_kept_once(store: Store) -> None:
    request = Idempotency("r", "RecordFeedback", "digest")
    first = store.record_feedback("b", NewFeedback(QUESTION, verdict="RIGHT"), request)
    again = store.record_feedback("b", NewFeedback(QUESTION, verdict="RIGHT"), request)
    assert again == first
    assert _questions(store) == [QUESTION]
    other = Idempotency("r", "RecordFeedback", "another digest")
    with pytest.raises(RequestConflict):
        store.record_feedback("b", NewFeedback("other", verdict="RIGHT"), other)
    store.delete_feedback("b", first.feedback_id)
    gone = store.record_feedback("b", NewFeedback(QUESTION, verdict="RIGHT"), request)
    assert (gone.feedback_id, gone.question) == (first.feedback_id, "")
    assert _questions(store) == []


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (NewFeedback(" ", ("d",)), "question"),
        (NewFeedback(QUESTION), "relevant"),
        (NewFeedback(QUESTION, ("d", "e"), ("e",)), "irrelevant"),
        (NewFeedback("a\0b", ("d",)), "question"),
    ],
)
def test_what_says_nothing_usable_is_refused(store: Store, new: NewFeedback, field: str) -> None:
    with pytest.raises(InvalidFeedback) as caught:
        store.record_feedback("b", new)
    assert caught.value.field == field
    assert _questions(store) == []


def test_what_is_not_there_cannot_be_spoken_of(store: Store) -> None:
    store.create_bank("c")
    (elsewhere,) = add(store, "text", bank="c")
    for unknown in ("nobody", elsewhere.document_id):
        with pytest.raises(DocumentNotFound) as caught:
            store.record_feedback("b", NewFeedback(QUESTION, (unknown,)))
        assert caught.value.document_id == unknown
    with pytest.raises(BankNotFound):
        store.record_feedback("none", NewFeedback(QUESTION, verdict="RIGHT"))
    with pytest.raises(BankNotFound):
        store.list_feedback("none", 10)
    made = store.record_feedback("b", NewFeedback(QUESTION, verdict="RIGHT"))
    with pytest.raises(FeedbackNotFound):
        store.delete_feedback("c", made.feedback_id)
    assert _questions(store) == [QUESTION]


def test_feedback_goes_with_the_document_it_calls_relevant(store: Store) -> None:
    kept, gone = (doc.document_id for doc in add(store, "a", "b"))
    store.record_feedback("b", NewFeedback("needs both", (kept, gone)))
    store.record_feedback("b", NewFeedback("needs the one", (kept,), (gone,)))
    store.record_feedback("b", NewFeedback("not this one", (), (gone,)))
    store.record_feedback("b", NewFeedback("nor was it right", (), (gone,), "WRONG"))
    store.delete_document("b", gone)
    found = {one.question: one for one in store.list_feedback("b", 10).items}
    assert set(found) == {"needs the one", "nor was it right"}
    assert found["needs the one"].relevant == (kept,)
    assert found["needs the one"].irrelevant == ()


def test_deleted_feedback_leaves_no_byte(store: Store, place: Place) -> None:
    secrets = [f"{QUESTION} secret-{number:02}" for number in range(20)]
    docs = add(store, *(f"text {number}" for number in range(20)))
    commit(store, docs)
    made = [
        store.record_feedback(
            "b",
            NewFeedback(secret, (doc.document_id,), (), "RIGHT", f"{secret}!"),
            Idempotency(secret[-2:], "RecordFeedback", "digest"),
        )
        for secret, doc in zip(secrets, docs, strict=True)
    ]
    folders = [place.data_dir]
    if place.cluster is not None:
        place.cluster.execute("ANALYZE")
        place.cluster.execute("CHECKPOINT")
        folders.append(place.cluster.folder / "base")
    assert texts_held(secrets, *folders) == secrets, "the test must be able to find them"
    for number, one in enumerate(made):
        if number % 2:
            store.delete_feedback("b", one.feedback_id)
        else:
            store.delete_document("b", docs[number].document_id)
    store.compact("b")
    if place.cluster is not None:
        place.cluster.execute("CHECKPOINT")
    assert texts_held(secrets, *folders) == []


def test_feedback_goes_with_its_bank(store: Store) -> None:
    (doc,) = add(store, "text")
    store.record_feedback("b", NewFeedback(QUESTION, (doc.document_id,)))
    store.delete_bank("b")
    store.create_bank("b")
    assert _questions(store) == []
