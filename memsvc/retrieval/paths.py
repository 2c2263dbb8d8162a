"""The ways of finding documents that can be compared, and their settings. Knows no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memsvc.retrieval.errors import UnknownSetting

PATHS = (
    "msa",
    "rag",
    "rag+rerank",
    "hybrid",
    "bm25",
    "iterative-rag",
    "full-context",
    "files",
)
INDEXES = ("flat", "ivf", "hnsw")
IndexKind = Literal["flat", "ivf", "hnsw"]
_SEVERAL_HOPS = ("msa", "iterative-rag")


@dataclass(frozen=True)
class PathSettings:
    """How one path finds documents. What a path does not use, it ignores.

    `embedder`: None is the bundled MiniLM, else the directory or hub id of a sentence-transformers
    or Hugging Face encoder. `reranker`: the directory or hub id of a cross-encoder with one logit.
    `nprobe`, `ef_search`: how far an IVF or HNSW index looks. `candidates`: documents that are
    reranked, or fused from each side (never fewer than are asked for). `read_documents`,
    `read_tokens`: what the reader takes in at most, in one round; full-context needs the whole bank
    to fit in there (the default model reads five documents a round).
    """

    path: str
    index: IndexKind = "flat"
    embedder: str | None = None
    reranker: str | None = None
    nprobe: int = 16
    ef_search: int = 128
    candidates: int = 50
    read_documents: int = 5
    read_tokens: int = 4096

    def __post_init__(self) -> None:
        """Raises UnknownSetting."""
        check_path(self.path)
        if self.index not in INDEXES:
            raise UnknownSetting(f"unknown index {self.index!r}; there are {', '.join(INDEXES)}")
        for name in ("nprobe", "ef_search", "candidates", "read_documents", "read_tokens"):
            if getattr(self, name) < 1:
                raise UnknownSetting(f"{name} must be at least 1, got {getattr(self, name)}")


def check_path(path: str) -> None:
    """Raises UnknownSetting, naming the paths that there are."""
    if path not in PATHS:
        raise UnknownSetting(f"unknown path {path!r}; there are {', '.join(PATHS)}")


def max_hops(path: str, asked: int) -> int:
    """Rounds of retrieval that a path may have: one, unless retrieving again is what it is about.

    Raises UnknownSetting.
    """
    check_path(path)
    return asked if path in _SEVERAL_HOPS else 1
