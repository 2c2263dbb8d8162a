"""One question inside the decoder: its caches, its view of a bank, and the forwards it waits for.

Knows nothing of prompts or sampling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memsvc_router.api import MemoryView, Routes, Step
from memsvc_router.decoder.caches import LayerCache, Pair, stack_content
from memsvc_router.decoder.fetching import Fetch, moved

_FIRST_POSITION = 3  # the query's positions follow those of k documents (MSA §3)
_ROOM = 512  # local tokens that caches have room for at first


def first_position(k: int) -> int:
    """The position of a question's first token, where `k` documents are routed to."""
    return _FIRST_POSITION + k


class QuestionState:
    """State of one question. `length`: local tokens whose keys and values are final; `queries`
    [M, J, R] and `routes` by router layer are those of the last routing."""

    def __init__(self, prefix: Mapping[int, Pair], view: MemoryView, k: int) -> None:
        self.view, self.k = view, k
        self.length = 0
        self.caches = {layer: LayerCache(pair, _ROOM) for layer, pair in prefix.items()}
        self.queries: dict[int, NDArray[np.float32]] = {}
        self.routes: dict[int, Routes] = {}
        self._contents: dict[tuple[int, int], Tensor] = {}
        self._fetches: dict[int, Fetch] = {}

    def positions(self, tokens: int) -> range:
        """Positions of the next tokens."""
        first = first_position(self.k) + self.length
        return range(first, first + tokens)

    def content(self, ordinal: int, handles: Sequence[int], like: Tensor) -> Pair:
        """Keys and values [G, M, D] of documents in the `ordinal`-th router layer, on the device
        and in the precision of `like` [B, G, T, D]; read once in a question's life."""
        if (fetch := self._fetches.pop(ordinal, None)) is not None:
            for handle, block in fetch.blocks().items():
                self._contents[ordinal, handle] = block
        missing = self._missing(ordinal, handles)
        found = moved(self.view, ordinal, missing, like.device, like.dtype)
        for handle, block in zip(missing, found, strict=True):
            self._contents[ordinal, handle] = block
        blocks = [self._contents[ordinal, handle] for handle in handles]
        if not blocks:
            blocks = [like.new_empty(0, 2, like.shape[1], like.shape[3])]
        return stack_content(blocks)

    def fetch(self, ordinal: int, handles: Sequence[int], like: Tensor) -> None:
        """Begin to read what `content` will probably be asked for."""
        missing = self._missing(ordinal, handles)
        if missing and ordinal not in self._fetches:
            self._fetches[ordinal] = Fetch(self.view, ordinal, missing, like)

    def _missing(self, ordinal: int, handles: Sequence[int]) -> list[int]:
        return [handle for handle in handles if (ordinal, handle) not in self._contents]


class Feed(Step):
    """Tokens that a question wants forwarded. `routed`: positions within them that route anew
    (None: the selection stays). `logits` fp32: of the last token [V], or of `all_tokens` [T, V]."""

    def __init__(
        self,
        question: QuestionState,
        tokens: Sequence[int],
        routed: Sequence[int] | None = None,
        all_tokens: bool = False,
    ) -> None:
        self.question, self.tokens, self.all_tokens = question, list(tokens), all_tokens
        self.routed = torch.tensor(list(routed)) if routed else None
        self.queries: dict[int, NDArray[np.float32]] = {}
        self.routes: dict[int, Routes] = {}
        self.error: BaseException | None = None
        self.seconds = 0.0
        self._logits: Tensor | None = None

    def commit(self, logits: Tensor) -> None:
        """The forward went well: what it left behind is final."""
        self._logits = logits
        self.question.length += len(self.tokens)
        if self.routed is not None:
            self.question.queries.update(self.queries)
            self.question.routes.update(self.routes)

    @property
    def logits(self) -> Tensor:
        """What came of it. Raises what went wrong."""
        if self.error is not None:
            raise self.error
        assert self._logits is not None, "the step was not run"
        return self._logits
