"""What other retrieval paths index: the documents of a view, by handle.

Knows views; nothing of embeddings or words.
"""

from __future__ import annotations

from collections.abc import Iterator

from memsvc_router.api import Retriever

from memsvc.engine import IndexedView, RetrieverFactory

_GROUP = 512  # texts fetched at once


def indexed_texts(view: IndexedView) -> Iterator[tuple[list[int], list[str]]]:
    """Handles and their `title. text`, in groups, in the order of the handles."""
    handles = view.handles()
    for at in range(0, len(handles), _GROUP):
        some = handles[at : at + _GROUP]
        texts = view.texts(some)
        yield some, [f"{t.title}. {t.text}" if t.title else t.text for t in texts]


class AtRest:
    """A `RetrieverFactory` that indexes a bank once, at its first question.

    For banks that nobody writes to meanwhile and that are asked without filters: handles must mean
    the same documents in every view. Used by one thread.
    """

    def __init__(self, build: RetrieverFactory) -> None:
        self._build = build
        self._retriever: Retriever | None = None

    def __call__(self, view: IndexedView) -> Retriever:
        if self._retriever is None:
            self._retriever = self._build(view)
        return self._retriever
