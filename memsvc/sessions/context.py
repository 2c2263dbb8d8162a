"""A session's context: what memory holds for a query, and the last turns, within a budget.

Knows the model's questions, turns and templates; nothing of stores or the wire. Counts of parts
only estimate the count of the whole, so the whole is counted before it is handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memsvc_router.api import Citation, DocumentText, Hit, MemoryModel
from memsvc_storage import Document, Turn

from memsvc.engine import happened
from memsvc.engine.context import MOST_CHARS_PER_TOKEN, Packer, last_fitting, sentence_ends
from memsvc.engine.questions import Question
from memsvc.engine.view import BankView
from memsvc.sessions.counting import Count
from memsvc.sessions.scope import turn_facts
from memsvc.sessions.templates import (
    DEFAULT_TEMPLATE,
    MEMORIES,
    RECENT,
    Template,
    TemplateError,
)
from memsvc.sessions.titles import day, spoken, turn_text


@dataclass(frozen=True)
class Wanted:
    """What to build. `recent_share` (0 to 1) of the budget goes to the last turns first; a `count`
    of None counts the model's own tokens."""

    max_tokens: int
    template: Template = DEFAULT_TEMPLATE
    recent_share: float = 0.5
    count: Count | None = None


@dataclass(frozen=True)
class Found:
    """A document that the query needs: how it was found, its facts, its text, and where its chunks
    end."""

    hit: Hit
    document: Document
    text: DocumentText
    chunk_ends: Sequence[int] = ()


@dataclass(frozen=True)
class Memory:
    """What stands in the text of a document."""

    citation: Citation
    document: Document

    @property
    def block(self) -> str:
        """Its heading and words, without the number."""
        return f"{_heading(self.document, self.citation.title)}\n{self.citation.quote}"


@dataclass(frozen=True)
class SessionContext:
    """A text of `tokens` tokens, and what it is made of, in the order of the text."""

    text: str
    memories: tuple[Memory, ...]
    recent: tuple[Turn, ...]
    tokens: int


def build(
    model: MemoryModel, question: Question, turns: Sequence[Turn], wanted: Wanted
) -> SessionContext:
    """The context of a session whose last turns are `turns`, oldest first.

    Raises TemplateError where the template alone is over the budget.
    """
    composer = Composer(wanted, turns, wanted.count or model.count_tokens)
    if MEMORIES not in wanted.template.places:
        return composer.compose([])
    shown = {turn.document_id for turn in composer.first}
    # What stands in the text already must not take the places of what does not.
    asked = replace(question, also=lambda document: document.document_id not in shown)
    return asked.attempts(lambda view: composer.compose(_found(model, view, asked)))


def _found(model: MemoryModel, view: BankView, question: Question) -> list[Found]:
    hits = model.recall(view, question.text, question.options).hits
    handles = [view.handle_of(hit.document_id) for hit in hits]
    known = [handle for handle in handles if handle is not None]
    return [
        Found(hit, view.facts(handle), text, [int(end) for end in view.spans(handle)[:, 1]])
        for hit, handle, text in zip(hits, known, view.texts(known), strict=True)
    ]


class Composer:
    """Fits turns and memories into one budget: what one part does not use is the other's."""

    def __init__(self, wanted: Wanted, turns: Sequence[Turn], count: Count) -> None:
        """`turns`: the last ones, oldest first."""
        self._wanted, self._count = wanted, count
        self._turns = turns if RECENT in wanted.template.places else ()
        self._room = max(0, wanted.max_tokens - count("".join(wanted.template.literals)))
        self.first = self._last_turns(int(self._room * wanted.recent_share))
        """The turns that have their place whatever is found."""

    def compose(self, found: Sequence[Found]) -> SessionContext:
        """The text, from what was found, best first. Raises TemplateError."""
        ranked, cost = self._memories(found, self._room - self._cost(_transcript(self.first)))
        recent = self._last_turns(self._room - cost)
        shown = _Shown(recent)
        kept = [one for one in ranked if not shown.holds(one.document, one.citation.quote)]
        return self._fitting(kept, recent)

    def _fitting(self, ranked: list[Memory], recent: list[Turn]) -> SessionContext:
        """Without what is too much after all: the least memories, then the oldest turns."""
        while True:
            memories = sorted(ranked, key=_chronology)
            text = self._wanted.template.filled(
                {
                    MEMORIES: "\n\n".join(
                        f"[{number}] {one.block}" for number, one in enumerate(memories, 1)
                    ),
                    RECENT: _transcript(recent),
                }
            )
            tokens = self._count(text)
            if tokens <= self._wanted.max_tokens:
                return SessionContext(text, tuple(memories), tuple(recent), tokens)
            if not ranked and not recent:
                raise TemplateError(f"alone has {tokens} tokens, more than max_tokens")
            ranked, recent = (ranked[:-1], recent) if ranked else (ranked, recent[1:])

    def _memories(self, found: Sequence[Found], room: int) -> tuple[list[Memory], int]:
        """What fits, best first, and its tokens; no text twice, and none of the first turns."""
        packer, taken, shown = Packer(self._count, room), {}, _Shown(self.first)
        for one in found if MEMORIES in self._wanted.template.places else ():
            if shown.holds(one.document, one.text.text):
                continue
            shown.texts.add(one.text.text)
            taken[one.hit.document_id] = one
            headed = DocumentText(_heading(one.document, one.text.title), one.text.text)
            if not packer.add(one.hit, headed, one.chunk_ends):
                break
        _, citations, tokens = packer.packed()
        known = [(cited, taken[cited.document_id]) for cited in citations if cited.quote.strip()]
        return [
            Memory(replace(cited, title=one.text.title), one.document) for cited, one in known
        ], tokens

    def _last_turns(self, room: int) -> list[Turn]:
        """The last turns that fit, oldest first; where not even the last does, its beginning."""
        taken: list[Turn] = []
        left = room
        for turn in reversed(self._turns):
            left -= self._cost(_line(turn) + ("\n" if taken else ""))
            if left < 0:
                break
            taken.insert(0, turn)
        if self._turns and not taken:
            taken = self._cut(self._turns[-1], room)
        return taken

    def _cut(self, turn: Turn, room: int) -> list[Turn]:
        text = turn_text(turn.content, turn.tool_calls)
        heading = f"{turn.role}: "
        end = last_fitting(self._count, room, heading, text, 0, sentence_ends(text))
        said = text[:end]
        return [replace(turn, content=said, tool_calls=())] if said.strip() else []

    def _cost(self, text: str) -> int:
        """Tokens of a text; more than there is room for where it is far too long to count."""
        most = self._room * MOST_CHARS_PER_TOKEN
        return self._count(text) if len(text) <= most else self._room + 1


class _Shown:
    """What stands in the text already; takes in more texts as they come."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._documents = {turn.document_id for turn in turns}
        self.texts = {turn_text(turn.content, turn.tool_calls) for turn in turns}

    def holds(self, document: Document, text: str) -> bool:
        return document.document_id in self._documents or text in self.texts


def _line(turn: Turn) -> str:
    return f"{turn.role}: {turn_text(turn.content, turn.tool_calls)}"


def _transcript(turns: Sequence[Turn]) -> str:
    return "\n".join(_line(turn) for turn in turns)


def _heading(document: Document, title: str) -> str:
    """A title that tells the time, where one is known."""
    turn = turn_facts(document)
    if turn is not None:
        return spoken(turn.role, happened(document))
    if document.event_time is None:
        return title
    when = day(document.event_time)
    return f"{title} ({when})" if title else when


def _chronology(memory: Memory) -> tuple[object, ...]:
    turn = turn_facts(memory.document)
    position = -1 if turn is None else turn.position
    return happened(memory.document), position, memory.document.document_id
