"""Two paths without an index: keyword search over the texts themselves, and reading all of them.

Knows views; nothing of models.
"""

from __future__ import annotations

import re
from collections import Counter

from memsvc.engine import IndexedView
from memsvc.retrieval.bm25 import tokenize
from memsvc.retrieval.errors import PathSkipped
from memsvc.retrieval.ledger import shown, texts_of
from memsvc.retrieval.paths import PathSettings

_WORD = re.compile(r"\w+")
_LEVEL = 0.5  # for readers that weigh scores: says nothing either way


class Files:
    """A `Retriever` that does what an agent with grep would: counts, in every text, how many
    different words of the question it has; among equals, how often."""

    def __init__(self, view: IndexedView) -> None:
        self._view = view

    def retrieve(self, query: str, k: int) -> list[tuple[int, float]]:
        """Handles and the share of the question's words that are met, best first."""
        asked = set(tokenize([query])[0])
        met: list[tuple[int, int, int, int]] = []
        precedence = self._view.rows().precedence
        for handles, texts in texts_of(self._view, shown(self._view)):
            for handle, text in zip(handles, texts, strict=True):
                hits = Counter(w for w in _WORD.findall(text.lower()) if w in asked)
                if hits:
                    met.append((-len(hits), -hits.total(), int(precedence[handle]), handle))
        return [(handle, -words / len(asked)) for words, _, _, handle in sorted(met)[:k]]


class FullContext:
    """A `Retriever` that finds every document, in the bank's order."""

    def __init__(self, view: IndexedView, settings: PathSettings) -> None:
        """Raises PathSkipped where the reader could not take in all of them."""
        self._handles = shown(view)
        most = settings.read_documents
        if len(self._handles) > most:
            raise PathSkipped(
                f"the bank holds {len(self._handles):,} documents, of which the reader takes in "
                f"{most} at once"
            )
        tokens = sum(view.tokens(handle) for handle in self._handles)
        if tokens > settings.read_tokens:
            raise PathSkipped(
                f"the bank holds {tokens:,} tokens, of which the reader takes in "
                f"{settings.read_tokens:,} at most"
            )

    def retrieve(self, query: str, k: int) -> list[tuple[int, float]]:  # noqa: ARG002
        """All handles, whatever k is."""
        return [(handle, _LEVEL) for handle in self._handles]
