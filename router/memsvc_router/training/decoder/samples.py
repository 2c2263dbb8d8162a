"""Retrieval chains cut into samples, one for each hop (MSA §4-5), in the engine's own prompts.

A row is [ prefix | question … ]; its *segments* are what the engine routes at once: segment 0 is
the question, each further one begins where a text that was read joins it. Knows prompts and rows
of a training set; no tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memsvc_router.decoder.prompts import Prompts
from memsvc_router.reading import window_around
from memsvc_router.texts import tokenize
from memsvc_router.training.rows import Passage, Question

UNTAUGHT = -100
PREFIX = -1  # the segment of the prompt's head
_LEAST_TEXT = 16  # tokens that each text read has at least


@dataclass
class Row:
    """One sample, token by token. `segments`: see above; `routed`: the token routes; `labels`: the
    token that should follow, or UNTAUGHT. `wanted`: the document to be named, by segment, as an
    index into the chain's passages (the last segment of a finished chain wants none)."""

    ids: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    routed: list[bool] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)

    def add(self, ids: Sequence[int], segment: int, routed: int = 0, taught: bool = False) -> None:
        """Append tokens, of which the first `routed` route."""
        if taught:
            self.labels[-1] = ids[0]
        self.labels += [*ids[1:], UNTAUGHT] if taught else [UNTAUGHT] * len(ids)
        self.ids += ids
        self.segments += [segment] * len(ids)
        self.routed += [at < routed for at in range(len(ids))]


class Samples:
    """Writes samples of at most `max_tokens` tokens."""

    def __init__(self, prompts: Prompts, max_tokens: int) -> None:
        self.prompts, self._max = prompts, max_tokens
        self._prefix = prompts.prefix()

    @property
    def prefix(self) -> int:
        """Tokens of the prompt's head."""
        return len(self._prefix)

    def fixed_tokens(self, question: str) -> int:
        """Tokens of a question and of what asks for its answer, without any text read."""
        return len(self._prefix) + len(self.prompts.question(question)[0]) + self._end(question)

    def fits(self, question: str, chain: int) -> bool:
        """Whether there is room for the texts of a chain."""
        return self.fixed_tokens(question) + chain * 2 * _LEAST_TEXT <= self._max

    def row(
        self,
        question: Question,
        chain: Sequence[Passage],
        hop: int,
        numbers: Mapping[str, int],
    ) -> Row:
        """The sample of one hop: the question with the first `hop` passages read, then the name of
        the next; or, where all are read, the end of retrieval and the answer.

        numbers: by passage id.
        """
        prompts, row = self.prompts, Row()
        row.add(self._prefix, PREFIX)
        asked, routing = prompts.question(question.question)
        row.add(asked, 0, routing)
        room = self._room(question, len(chain))
        for segment, passage in enumerate(chain[:hop]):
            number = numbers[passage.id]
            row.wanted.append(segment)
            row.add(prompts.reference(number), segment)
            # The engine forwards the end of the list together with the texts that it asks for.
            row.add([prompts.reference_end], segment + 1)
            text = prompts.original(number, _shortened(prompts, passage, question, room))
            row.add(text, segment + 1, len(text))
            row.add([prompts.reference_end], segment + 1)
        if hop < len(chain):
            row.wanted.append(hop)
            named = prompts.reference(numbers[chain[hop].id])
            row.add([*named, prompts.reference_end], hop, taught=True)
        else:
            self._finish(row, question, hop)
        return row

    def _finish(self, row: Row, question: Question, segment: int) -> None:
        row.add(self.prompts.end_of_retrieve, segment, taught=True)
        if question.gen_ok and question.answers:
            row.add(self.prompts.final(question.question), segment)
            answer = self.prompts.plain(question.answers[0])
            row.add([*answer, self.prompts.end], segment, taught=True)

    def _end(self, question: str) -> int:
        return len(self.prompts.end_of_retrieve) + len(self.prompts.final(question))

    def _room(self, question: Question, chain: int) -> int:
        """Tokens that each text of a chain may have."""
        answer = len(self.prompts.plain(question.answers[0])) if question.answers else 0
        left = self._max - self.fixed_tokens(question.question) - answer - 1
        return max(left // max(chain, 1) - _LEAST_TEXT, _LEAST_TEXT)


def _shortened(prompts: Prompts, passage: Passage, question: Question, room: int) -> str:
    """Title and text as they are read; of a long text, what stands around the answer."""
    text = passage.text
    piece = tokenize(prompts.tokenizer, [text])[0]
    if len(piece.ids) > room:
        answer = question.answers[0] if question.answers else ""
        at = max(text.lower().find(answer.lower()), 0)
        first, last = window_around(piece, at, at + max(len(answer), 1), size=room)
        text = text[piece.spans[first][0] : piece.spans[last - 1][1]]
    return f"{passage.title}\n{text}" if passage.title else text
