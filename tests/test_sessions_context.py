"""A session's context: never over budget by anybody's count, in order, nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memsvc_router.api import DocumentText, Hit
from memsvc_router.checkpoint import DEFAULT_MODEL
from memsvc_storage import Document, Session, ToolCall, Turn

from memsvc.engine.context import sentence_ends
from memsvc.sessions.context import Composer, Found, SessionContext, Wanted
from memsvc.sessions.counting import Tokenizers
from memsvc.sessions.scope import Scope, visible
from memsvc.sessions.templates import DEFAULT_TEMPLATE, Template, TemplateError
from memsvc.sessions.titles import TurnContext, quoting, turn_text, turn_title
from tests.engine_support import BagModel

_NOW = datetime(2024, 1, 5, tzinfo=UTC)
_TEXT = st.text(alphabet="ab .!?\n,é漢", min_size=1, max_size=200).filter(str.strip)
_NAMED = Tokenizers({"small": DEFAULT_MODEL / "tokenizer.json"})
_COUNTS = st.sampled_from([len, BagModel().count_tokens, _NAMED.count("small")])
_TEMPLATES = st.sampled_from(
    [
        DEFAULT_TEMPLATE,
        Template.parse("{recent}"),
        Template.parse("{memories}"),
        Template.parse('Now:\n{recent}\n\n{"known": "\n{memories}\n"}'),
    ]
)


def _turn(number: int, content: str, calls: Sequence[ToolCall] = ()) -> Turn:
    when = _NOW + timedelta(minutes=number)
    name = f"t{number}"
    return Turn("s", name, "user", content, tuple(calls), when, number, f"s~{name}", when)


def _document(name: str, when: datetime | None, metadata: dict[str, Any]) -> Document:
    return Document(1, "b", name, "", "", metadata, when, None, _NOW, _NOW, 1, "", "READY")


def _found(name: str, text: str, title: str = "", when: datetime | None = None) -> Found:
    hit = Hit(name, 1.0, 0, 0, min(len(text), 40), 0)
    return Found(hit, _document(name, when, {}), DocumentText(title, text), (len(text),))


def _of_turn(turn: Turn) -> Found:
    facts = {"session": "s", "role": turn.role, "position": turn.position}
    text = turn_text(turn.content, turn.tool_calls)
    document = _document(turn.document_id, turn.time, facts)
    return Found(Hit(turn.document_id, 1.0, 0, 0, len(text), 0), document, DocumentText("", text))


def _composed(
    found: Sequence[Found], turns: Sequence[Turn], count: Callable[[str], int], **fields: Any
) -> SessionContext:
    return Composer(Wanted(**fields), turns, count).compose(found)


@settings(max_examples=200, deadline=None)
@given(
    texts=st.lists(st.tuples(_TEXT, _TEXT), max_size=6),
    said=st.lists(_TEXT, max_size=6),
    recalled=st.sets(st.integers(0, 5)),
    budget=st.integers(40, 400),
    share=st.floats(0, 1),
    count=_COUNTS,
    template=_TEMPLATES,
)
def test_no_context_exceeds_its_budget_and_all_of_it_is_verbatim(
    texts: list[tuple[str, str]],
    said: list[str],
    recalled: set[int],
    budget: int,
    share: float,
    count: Callable[[str], int],
    template: Template,
) -> None:
    turns = [_turn(n, text) for n, text in enumerate(said)]
    found = [_of_turn(turns[n]) for n in recalled if n < len(turns)]
    found += [_found(f"d{n}", text, title) for n, (title, text) in enumerate(texts)]
    fields = {"max_tokens": budget, "recent_share": share, "template": template}
    built = _composed(found, turns, count, **fields)
    assert built.tokens == count(built.text) <= budget
    again = _composed(found, turns, count, **fields)
    assert again == built
    sources = {one.hit.document_id: one.text.text for one in found}
    for number, memory in enumerate(built.memories, 1):
        cited = memory.citation
        assert sources[cited.document_id][cited.start : cited.end] == cited.quote
        assert f"[{number}] {memory.block}" in built.text
    named = [one.citation.document_id for one in built.memories]
    assert not {*named} & {turn.document_id for turn in built.recent}
    assert len(named) == len({*named})
    for turn, original in zip(reversed(built.recent), reversed(turns), strict=False):
        assert turn.turn_id == original.turn_id
        assert original.content.startswith(turn.content)
        assert f"user: {turn.content}" in built.text


def test_memories_stand_in_the_order_of_time_before_the_last_turns() -> None:
    turns = [_turn(8, "What now?"), _turn(9, "Tell me.")]
    found = [
        _found("new", "Ann moved to Lyon.", "Move", _NOW - timedelta(days=1)),
        _of_turn(_turn(2, "I like tea.")),
        _found("old", "Ann lived in Bonn.", "", _NOW - timedelta(days=400)),
    ]
    built = _composed(found, turns, len, max_tokens=1000)
    assert built.text == (
        "[1] 1 December 2022\nAnn lived in Bonn.\n\n"
        "[2] Move (4 January 2024)\nAnn moved to Lyon.\n\n"
        "[3] user, 5 January 2024\nI like tea.\n\n"
        "user: What now?\nuser: Tell me."
    )
    assert [one.citation.document_id for one in built.memories] == ["old", "new", "s~t2"]


def test_what_is_said_by_the_last_turns_or_twice_is_not_remembered_again() -> None:
    turns = [_turn(3, "I like tea.")]
    found = [
        _of_turn(turns[0]),
        _found("echo", "I like tea."),
        _found("one", "Ann lives here."),
        _found("two", "Ann lives here."),
    ]
    built = _composed(found, turns, len, max_tokens=1000)
    assert [one.citation.document_id for one in built.memories] == ["one"]
    assert built.text.count("I like tea.") == 1


def test_what_one_part_does_not_use_is_the_others() -> None:
    turns = [_turn(n, f"Turn {n} says something.") for n in range(10)]
    many = [_found(f"d{n}", f"Fact {n} is worth a line.") for n in range(20)]
    alone = _composed([], turns, len, max_tokens=320, recent_share=0.1)
    assert len(alone.recent) == 10
    short = _composed(many, turns[:1], len, max_tokens=320, recent_share=0.9)
    assert len(short.memories) > 6
    both = _composed(many, turns, len, max_tokens=320, recent_share=0.5)
    assert [turn.turn_id for turn in both.recent] == ["t5", "t6", "t7", "t8", "t9"]
    assert len(both.memories) >= 3


def test_a_last_turn_that_is_too_long_is_cut_where_a_sentence_ends() -> None:
    long = " ".join(f"Sentence {n} is short." for n in range(1000))
    built = _composed([], [_turn(0, long)], len, max_tokens=200)
    assert built.text.startswith("user: Sentence 0 is short.")
    assert built.text.endswith(".")
    assert 150 < built.tokens <= 200
    assert built.recent[0].content == built.text.removeprefix("user: ")


def test_calls_of_tools_are_told() -> None:
    call = ToolCall("1", "search", '{"q":\n "tea"}', "Green tea\ngrows in hills.")
    built = _composed([], [_turn(0, "I look.", [call])], len, max_tokens=200)
    assert built.text == ('user: I look.\nsearch({"q": "tea"}) gave Green tea grows in hills.')


def test_templates_frame_both_parts() -> None:
    template = Template.parse('Known:\n{memories}\n\n{"turns": "\n{recent}\n"}')
    built = _composed(
        [_found("d", "A fact.")], [_turn(0, "Hi.")], len, max_tokens=200, template=template
    )
    assert built.text == 'Known:\n[1] \nA fact.\n\n{"turns": "\nuser: Hi.\n"}'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "neither"),
        ("no place", "neither"),
        ("{memories}{memories}", "more than once"),
        ("{memories}{memory}", r"not \{memory\}"),
    ],
)
def test_templates_that_cannot_be_filled_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        Template.parse(text)


def test_a_template_must_fit_into_the_budget_itself() -> None:
    template = Template.parse("A long introduction. {memories}")
    with pytest.raises(TemplateError, match="more than max_tokens"):
        _composed([], [], len, max_tokens=10, template=template)


@pytest.mark.parametrize(
    ("way", "title"),
    [("alone", ""), ("spoken", "user, 5 January 2024"), ("neighboured", "user, 5 January 2024")],
)
def test_a_title_tells_as_much_as_its_way_says(way: TurnContext, title: str) -> None:
    assert turn_title(way, "user", _NOW) == title


def test_a_title_quotes_how_the_turn_before_began() -> None:
    assert quoting("user", "Where do\nyou live?") == "user, after: Where do you live?"
    assert quoting("user", " ") == "user"
    assert len(quoting("user", "word " * 500)) < 300


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        ("SESSION", {"fork~3", "main~1"}),
        ("OTHER_SESSIONS", {"main~2", "else~0"}),
        ("AGENT", {"fork~3", "main~1", "main~2", "else~0"}),
    ],
)
def test_scopes_follow_the_lineage_of_a_fork(scope: Scope, seen: set[str]) -> None:
    documents = [
        _said("fork", 3, "ann"),
        _said("main", 1, "ann"),
        _said("main", 2, "ann"),
        _said("else", 0, "ann"),
        _said("bob", 0, "bob"),
        _document("plain", None, {"session": "fork", "agent": "ann"}),
    ]
    nothing: Any = None
    session = Session(
        "b", "fork", "ann", {}, nothing, 3, "3", "main", "1", nothing, _NOW, _NOW, (("main", 1),)
    )
    allowed = visible(scope, session)
    assert allowed is not None
    assert {one.document_id for one in documents if allowed(one)} == seen
    assert visible("BANK", session) is None


def _said(session: str, position: int, agent: str) -> Document:
    facts = {"session": session, "agent": agent, "role": "user", "position": position}
    return _document(f"{session}~{position}", _NOW, facts)


def test_tokenizers_count_every_token_of_a_text_once(tmp_path: Path) -> None:
    count = _NAMED.count("small")
    assert count("") == 0
    assert count("word " * 5000) == 5000
    assert _NAMED.count("characters")("漢é") == 2
    bad = tmp_path / "tokenizer.json"
    bad.write_text("{}")
    with pytest.raises(OSError, match=r"tokenizer mine: .* is no tokenizer\.json"):
        Tokenizers({"mine": bad})


def test_cuts_are_offered_after_sentences_and_lines() -> None:
    assert sentence_ends("One. Two?\nThree") == [4, 9, 10]
