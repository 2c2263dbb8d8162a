"""Settings and plain results of the engine. Knows no behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from memsvc_router.api import Citation, DocumentText, MemoryView, Recall, Retriever, Usage
from memsvc_storage import Document, Operation
from numpy.typing import NDArray

ModelState = Literal["LOADING", "READY", "FAILED"]
ServingState = Literal["SERVING", "REENCODING_SERVING_PREVIOUS", "REENCODING_UNAVAILABLE"]
DocumentFilter = Callable[[Document], bool]
"""Decides by a document's facts (its `text` is empty) whether a question may see it."""


@dataclass(frozen=True)
class EngineConfig:
    """How one engine runs. Sizes are counts, characters or tokens as named; times are seconds."""

    data_dir: Path
    database_url: str | None = None
    max_questions: int = 256  # waiting or running; one more is Overloaded
    max_active: int = 16  # answered side by side; the others wait, fairly between banks
    io_threads: int = 8
    batch_documents: int = 256  # fetched, encoded and committed as one segment
    batch_chars: int = 64_000  # about 16k tokens
    encode_patience: float = 2.0  # encoding that waited longer takes turns with questions
    unhealthy_after: int = 3  # encode failures in a row
    retry_seconds: float = 1.0  # pause after an encode failure, doubled up to 32 times
    sweep_seconds: float = 1.0
    compact_seconds: float = 300.0
    compact_dead_fraction: float = 0.5
    remember_days: float = 7.0  # how long request ids and finished operations are kept
    warm_banks: int = 64  # banks whose routing keys are loaded at start; others at first use
    near_bytes: int | None = None  # of keys of open banks; None: half of the machine's memory
    pinned_banks: tuple[str, ...] = ()  # stay open
    coarse_chunks: int | None = 50_000  # from here on a coarse pass is tried; None: never


@dataclass(frozen=True)
class Health:
    """Whether questions are served and memory is being made; `reason` is "" when it is."""

    serving: bool
    reason: str = ""


@dataclass(frozen=True)
class Serving:
    """What answers a bank's questions. `state` is None while that is not known (the model loads);
    `made_by`: how the model of the bank's blocks describes itself, None where there are none;
    `operation`: the re-encoding under way."""

    state: ServingState | None
    made_by: Mapping[str, Any] | None
    operation: Operation | None


@dataclass(frozen=True)
class Recency:
    """What is recent counts for more: a positive score is multiplied by 1 + weight · 2^(-age /
    half_life), both in seconds."""

    half_life: float
    weight: float = 0.5


@dataclass(frozen=True)
class Context:
    """A prompt block of at most `max_tokens` tokens and the verbatim sources it is made of."""

    text: str
    citations: tuple[Citation, ...]
    tokens: int
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class RecallWithTexts(Recall):
    """A recall and, where asked for, the text of each of its hits, in the same order."""

    texts: tuple[DocumentText, ...] = ()


@dataclass(frozen=True)
class ViewRows:
    """What stands behind the handles 0…N of a view, so that an index can be brought in line with
    the bank by arrays. Where `numbering` is the same, so is what a handle stands for."""

    numbering: int
    keys: NDArray[np.int64]  # [N, 3] row id, revision, time of creation: never the same for others
    precedence: NDArray[np.int64]  # [N] of equal scores, the lowest comes first
    alive: NDArray[np.bool_]  # [N] is in the bank now
    allowed: NDArray[np.bool_]  # [N] ... and the question may see it


class IndexedView(MemoryView, Protocol):
    """A view whose whole handle space can be walked, for retrievers that keep their own index."""

    def rows(self) -> ViewRows:
        """What every handle stands for. Texts can be had of all that are `alive`."""
        ...

    def handles(self) -> list[int]:
        """Every handle that can be routed to."""
        ...

    def tokens(self, handle: int) -> int:
        """The model's tokens of a document."""
        ...

    def handle_of(self, document_id: str) -> int | None:
        """The handle of a document, or None where the view does not hold it."""
        ...


RetrieverFactory = Callable[[IndexedView], Retriever]
"""Binds another way of finding documents to one question's view."""
