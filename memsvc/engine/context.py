"""A prompt block for any language model: ranked documents within a budget of tokens.

Knows the model's count of tokens and a view; nothing of stores or the wire.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memsvc_router.api import Citation, DocumentText, Hit, MemoryModel

from memsvc.engine.questions import Question
from memsvc.engine.types import Context
from memsvc.engine.view import BankView

_SENTENCE_END = re.compile(r"[.!?。！？][\"'”’)\]]*(?=\s|$)|\n")
_SEPARATOR = "\n\n"
_MEAN_LAYER = -1  # a document is ranked by the mean over the layers, not by one of them
MOST_CHARS_PER_TOKEN = 16  # text beyond this many characters per token left is not even looked at


def build_context(model: MemoryModel, question: Question, max_tokens: int) -> Context:
    """The documents that the question needs, best first; the last one may be cut.

    Raises ValueError unless `max_tokens` is positive.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be positive, not {max_tokens}")

    def attempt(view: BankView) -> Context:
        found = model.recall(view, question.text, question.options)
        handles = [view.handle_of(hit.document_id) for hit in found.hits]
        known = [handle for handle in handles if handle is not None]
        packer = Packer(model.count_tokens, max_tokens)
        texts = view.texts(known)
        for hit, handle, text in zip(found.hits, known, texts, strict=True):
            ends = [int(end) for end in view.spans(handle)[:, 1]]
            if not packer.add(hit, text, ends):
                break
        packed, citations, tokens = packer.packed()
        return Context(packed, citations, tokens, found.usage)

    return question.attempts(attempt)


@dataclass
class Packer:
    """Takes documents while they fit, then one that is cut. Counts of parts only estimate the count
    of the whole, so the whole is counted once more in the end."""

    count: Callable[[str], int]
    max_tokens: int

    def __post_init__(self) -> None:
        self._blocks: list[str] = []
        self._citations: list[Citation] = []
        self._left = self.max_tokens

    def add(self, hit: Hit, document: DocumentText, chunk_ends: Sequence[int]) -> bool:
        """Take a document in, whole or cut. False: the budget is used up."""
        heading = f"[{len(self._blocks) + 1}] {document.title}\n"
        heading = (_SEPARATOR if self._blocks else "") + heading
        whole = heading + document.text
        room = self._left * MOST_CHARS_PER_TOKEN
        cost = self.count(whole) if len(whole) <= room else self._left + 1
        start, end = 0, len(document.text)
        if cost > self._left:
            start, end = self._cut(heading, document.text, hit, chunk_ends)
        if end > start:
            quote = document.text[start:end]
            self._blocks.append(heading + quote)
            self._citations.append(_citation(hit, document.title, quote, start))
        self._left -= cost
        return self._left > 0

    def packed(self) -> tuple[str, tuple[Citation, ...], int]:
        """The text, its sources and its exact number of tokens, at most `max_tokens`."""
        while (tokens := self.count("".join(self._blocks))) > self.max_tokens:
            self._blocks.pop()
            self._citations.pop()
        return "".join(self._blocks), tuple(self._citations), tokens

    def _cut(self, heading: str, text: str, hit: Hit, chunk_ends: Sequence[int]) -> tuple[int, int]:
        """The best part that fits: from the beginning if that reaches through the chunk that was
        routed to, else from that chunk on; up to the end of a sentence or chunk. (0, 0): none."""
        ends = sorted({*sentence_ends(text), *chunk_ends})
        end = last_fitting(self.count, self._left, heading, text, 0, ends)
        if end >= hit.end:
            return 0, end
        later = last_fitting(self.count, self._left, heading, text, hit.start, ends)
        return (hit.start, later) if later > hit.start else (0, end)


def sentence_ends(text: str) -> list[int]:
    """Where the text may be cut: after each sentence and line, ascending."""
    return [match.end() for match in _SENTENCE_END.finditer(text)]


def last_fitting(
    count: Callable[[str], int], room: int, heading: str, text: str, start: int, ends: Sequence[int]
) -> int:
    """The last of `ends` such that heading + text[start:end] has at most `room` tokens; `start` if
    there is none."""
    first = bisect.bisect_right(ends, start)
    last = bisect.bisect_right(ends, start + room * MOST_CHARS_PER_TOKEN)
    fitting = bisect.bisect_right(
        range(first, last), room, key=lambda i: count(heading + text[start : ends[i]])
    )
    return ends[first + fitting - 1] if fitting else start


def _citation(hit: Hit, title: str, quote: str, start: int) -> Citation:
    end = start + len(quote)
    chunk, score = hit.chunk, hit.score
    return Citation(
        hit.document_id, title, quote, start, end, chunk, score, hit.hop, layer=_MEAN_LAYER
    )
