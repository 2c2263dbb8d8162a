"""Answers: right, verbatim, with their source; or an honest "not in memory"."""

from __future__ import annotations

import pytest
from memsvc_router.api import AskOptions, Citation, Done, Event, Hop, Token

from tests.router_support import TOWNS, bank, default_model


def ask(question: str, without: str = "", **options: float) -> list[Event]:
    documents = {name: text for name, text in TOWNS.items() if name != without}
    chosen = AskOptions(**options)  # type: ignore[arg-type]
    return list(default_model().ask(bank(documents), question, chosen))


@pytest.mark.parametrize(
    ("question", "answer", "document"),
    [
        ("When was the Eiffel Tower completed?", "1889", "eiffel"),
        ("Who created Python?", "Guido van Rossum", "python"),
        ("Where was Marie Curie born?", "Warsaw", "marie"),
        ("What is the largest animal?", "blue whale", "whale"),
    ],
)
def test_a_question_is_answered_from_its_document(
    question: str, answer: str, document: str
) -> None:
    events = ask(question)
    done = events[-1]
    assert isinstance(done, Done)
    assert done.found
    assert answer.lower() in done.answer.lower()
    first = next(e for e in events if isinstance(e, Citation))
    assert first.document_id == document


def test_an_answer_is_verbatim_and_its_tokens_spell_it() -> None:
    events = ask("Where was Marie Curie born?", min_confidence=0.0)
    done = events[-1]
    assert isinstance(done, Done)
    assert "".join(e.text for e in events if isinstance(e, Token)) == done.answer
    citations = [e for e in events if isinstance(e, Citation)]
    assert citations[0].quote == done.answer
    for citation in citations:
        text = TOWNS[citation.document_id].text
        assert text[citation.start : citation.end] == citation.quote
        assert citation.title == TOWNS[citation.document_id].title


def test_events_come_as_hops_citations_tokens_done() -> None:
    order = [Hop, Citation, Token, Done]
    kinds = [order.index(type(e)) for e in ask("Who created Python?", min_confidence=0.0)]
    assert kinds == sorted(kinds)
    assert kinds[-1] == 3
    assert kinds.count(3) == 1


def test_without_its_document_the_answer_is_not_in_memory() -> None:
    events = ask("Who created Python?", without="python")
    done = events[-1]
    assert isinstance(done, Done)
    assert not done.found
    assert done.answer == ""
    assert not any(isinstance(e, Token | Citation) for e in events)


def test_an_empty_bank_answers_that_nothing_is_there() -> None:
    model = default_model()
    events = list(model.ask(bank({}), "Who created Python?", AskOptions()))
    assert isinstance(events[-1], Done)
    assert not events[-1].found
    assert model.recall(bank({}), "Who created Python?", AskOptions()).hits == ()


def test_recall_ranks_by_score_and_spans_lie_in_the_text() -> None:
    recall = default_model().recall(bank(TOWNS), "Who created Python?", AskOptions(k=3, max_hops=1))
    assert recall.hits[0].document_id == "python"
    assert len(recall.hits) == 3
    scores = [h.score for h in recall.hits]
    assert scores == sorted(scores, reverse=True)
    for hit in recall.hits:
        assert 0 <= hit.start < hit.end <= len(TOWNS[hit.document_id].text)


def test_a_second_hop_follows_what_the_first_document_says() -> None:
    options = AskOptions(k=4, max_hops=2)
    question = "On which river lies the city where Marie Curie was born?"
    recall = default_model().recall(bank(TOWNS), question, options)
    assert {h.document_id for h in recall.hits[:2]} == {"marie", "warsaw"}
    assert len(recall.hops) == 2
    assert "marie" in recall.hops[1].given


def test_the_budget_of_documents_holds() -> None:
    for event in ask("On which river lies Paris?", max_documents=2, max_hops=4)[-1:]:
        assert isinstance(event, Done)
        assert event.usage.documents_read <= 2


@pytest.mark.parametrize("question", ["", "   ", "\n"])
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(ValueError, match="question"):
        list(default_model().ask(bank(TOWNS), question, AskOptions()))


def test_senseless_budgets_are_refused() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        default_model().recall(bank(TOWNS), "Who?", AskOptions(k=0))
