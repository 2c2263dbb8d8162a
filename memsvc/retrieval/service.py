"""The paths as the engine takes them: for each bank and settings, a factory of retrievers.

Keeps the indexes, one for each bank and embedder, and the models, one for each name. Knows paths,
indexes and views; nothing of engines, questions or answers.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from memsvc.engine import IndexedView, RetrieverFactory
from memsvc.retrieval import paths
from memsvc.retrieval.bm25 import Bm25Index
from memsvc.retrieval.dense import DenseIndex
from memsvc.retrieval.embedders import TextEmbedder, load_embedder
from memsvc.retrieval.errors import PathSkipped
from memsvc.retrieval.fusion import Hybrid, Reranked
from memsvc.retrieval.paths import PathSettings
from memsvc.retrieval.plain import Files, FullContext
from memsvc.retrieval.rerankers import Reranker
from memsvc.retrieval.vectorfile import VectorFile

T = TypeVar("T")

_DENSE = ("rag", "iterative-rag", "rag+rerank", "hybrid")
_KEYWORDS = ("bm25", "hybrid")


@dataclass(frozen=True)
class _Dense:
    """A `Retriever` of one view by embeddings."""

    index: DenseIndex
    view: IndexedView
    settings: PathSettings

    def retrieve(self, query: str, k: int) -> list[tuple[int, float]]:
        return self.index.search(self.view, self.settings, query, k)


@dataclass(frozen=True)
class _Keywords:
    """A `Retriever` of one view by BM25."""

    index: Bm25Index
    view: IndexedView

    def retrieve(self, query: str, k: int) -> list[tuple[int, float]]:
        return self.index.search(self.view, query, k)


class Retrieval:
    """All paths of all banks. Thread-safe.

    Vectors are kept under `data_dir`/retrieval, or in memory alone where that is None. Everything
    else is made anew from the texts at the first question after a start.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._folder = None if data_dir is None else data_dir / "retrieval"
        self._lock = threading.RLock()
        self._models: dict[tuple[str, str | None], Any] = {}
        self._dense: dict[tuple[str, str], DenseIndex] = {}
        self._keywords: dict[str, Bm25Index] = {}

    def factory(self, settings: PathSettings, bank: str) -> RetrieverFactory | None:
        """What `engine.recall` and `engine.ask` take as `retriever`; None is the model's routing.

        Loads the models that the path needs (seconds at the first time, so not for an event loop);
        the index is made at the first question or by `prepare`. The factory raises PathSkipped
        where the view is not one for this path. Raises PathSkipped, EmbedderError, RerankerError.
        """
        if settings.path == "msa":
            return None
        if settings.path == "files":
            return Files
        if settings.path == "full-context":
            return partial(FullContext, settings=settings)
        if settings.path == "rag+rerank" and settings.reranker is None:
            raise PathSkipped("no reranker given")
        return self._indexed(settings, bank)

    def prepare(self, settings: PathSettings, bank: str, view: IndexedView) -> None:
        """Make the path's index, or bring it in line with the bank, before a question waits for it:
        `await engine.look(bank, partial(retrieval.prepare, settings, bank))`.

        Raises what `factory` raises, and what the view's `texts` raises.
        """
        for index in self._indexes(settings, bank):
            if isinstance(index, DenseIndex):
                index.follow(view, settings.index)
            else:
                index.follow(view)

    def index_facts(self, settings: PathSettings, bank: str) -> dict[str, float]:
        """`bytes` that the path's index holds in memory and `build_seconds` spent on it so far; 0
        for paths without one. Raises what `factory` raises."""
        size, seconds = 0, 0.0
        for index in self._indexes(settings, bank):
            size += index.bytes(settings.index) if isinstance(index, DenseIndex) else index.bytes
            seconds += index.build_seconds
        return {"bytes": size, "build_seconds": round(seconds, 3)}

    def max_hops(self, path: str, asked: int) -> int:
        """See `paths.max_hops`."""
        return paths.max_hops(path, asked)

    def keep_only(self, banks: Iterable[str]) -> None:
        """Forget every other bank: what was made of a deleted bank's texts goes with it."""
        with self._lock:
            kept = {_folder_name(bank) for bank in banks}
            self._dense = {k: v for k, v in self._dense.items() if _folder_name(k[0]) in kept}
            self._keywords = {k: v for k, v in self._keywords.items() if _folder_name(k) in kept}
            folders = self._folder.iterdir() if self._folder and self._folder.is_dir() else ()
            for folder in folders:
                if folder.name not in kept:
                    shutil.rmtree(folder)

    def forget(self, bank: str) -> None:
        """Forget one bank: what is made of it anew is made of the texts that are left."""
        with self._lock:
            self._dense = {key: index for key, index in self._dense.items() if key[0] != bank}
            self._keywords.pop(bank, None)
            if self._folder is not None:
                shutil.rmtree(self._folder / _folder_name(bank), ignore_errors=True)

    def _indexed(self, settings: PathSettings, bank: str) -> RetrieverFactory:
        if settings.path == "bm25":
            return partial(_Keywords, self._bm25(bank))
        dense = partial(_Dense, self._dense_index(settings, bank), settings=settings)
        if settings.path == "rag+rerank":
            reranker = self._model("reranker", settings.reranker, _load_reranker)
            return lambda view: Reranked(dense(view), reranker, view, settings.candidates)
        if settings.path == "hybrid":
            words = self._bm25(bank)
            return lambda view: Hybrid(dense(view), _Keywords(words, view), settings.candidates)
        return dense

    def _indexes(self, settings: PathSettings, bank: str) -> list[DenseIndex | Bm25Index]:
        found: list[DenseIndex | Bm25Index] = []
        if settings.path in _DENSE:
            found.append(self._dense_index(settings, bank))
        if settings.path in _KEYWORDS:
            found.append(self._bm25(bank))
        return found

    def _dense_index(self, settings: PathSettings, bank: str) -> DenseIndex:
        embedder: TextEmbedder = self._model("embedder", settings.embedder, load_embedder)
        with self._lock:
            key = (bank, embedder.digest)
            if key not in self._dense:
                self._dense[key] = DenseIndex(embedder, self._file(bank, embedder))
            return self._dense[key]

    def _bm25(self, bank: str) -> Bm25Index:
        with self._lock:
            return self._keywords.setdefault(bank, Bm25Index())

    def _file(self, bank: str, embedder: TextEmbedder) -> VectorFile | None:
        if self._folder is None:
            return None
        path = self._folder / _folder_name(bank) / f"{embedder.digest}.vectors"
        return VectorFile(path, embedder.digest, embedder.dimension)

    def _model(self, kind: str, name: str | None, load: Callable[[str | None], T]) -> T:
        with self._lock:
            if (kind, name) not in self._models:
                self._models[kind, name] = load(name)
            found: T = self._models[kind, name]
            return found


def _load_reranker(name: str | None) -> Reranker:
    assert name is not None
    return Reranker(name)


def _folder_name(bank: str) -> str:
    """A bank's name as one of a folder: banks may have names that files may not."""
    return hashlib.sha256(bank.encode()).hexdigest()[:32]
