"""Embedders by name: the bundled MiniLM, or any sentence-transformers or Hugging Face encoder.

Texts in, vectors of unit length out. Knows models; nothing of indexes or banks.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from memsvc_router.minilm import Embedder, base_folder
from numpy.typing import NDArray
from transformers import AutoModel

from memsvc.retrieval.checkpoints import digest_of, encode, find, load, load_tokenizer
from memsvc.retrieval.errors import EmbedderError

BUNDLED = "all-MiniLM-L6-v2"
_BATCH = 32
_MAX_TOKENS = 512  # longer texts are cut, as by the encoders' own limits


class TextEmbedder(Protocol):
    """`digest` tells apart what does not embed alike; `dimension` is the width of its vectors."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [n, dimension] of texts that are to be found."""
        ...

    def query(self, text: str) -> NDArray[np.float32]:
        """The vector [dimension] of what is looked for."""
        ...


def load_embedder(name: str | None) -> TextEmbedder:
    """The bundled MiniLM for None, else a directory or hub id. Raises EmbedderError."""
    if name is None:
        return _MiniLm()
    folder = find(name, EmbedderError)
    if (folder / "modules.json").is_file():
        return _SentenceTransformer(name, folder)
    return _Encoder(name, folder)


class _MiniLm:
    """The model that memsvc's default model was trained from, before it was trained as a memory:
    what differs from the MSA path is how documents are found."""

    name = BUNDLED

    def __init__(self) -> None:
        try:
            self.digest = digest_of(base_folder(), EmbedderError)
            self._embedder = Embedder()
        except FileNotFoundError as error:
            raise EmbedderError(str(error)) from error
        self.dimension = int(self._embedder.encoder.config.hidden_size)

    def documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed(texts)

    def query(self, text: str) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._embedder.embed([text])[0]
        return found


class _SentenceTransformer:
    """A directory with modules.json: its own pooling, prompts and limits, by its own library."""

    def __init__(self, name: str, folder: Path) -> None:
        try:
            library: Any = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise EmbedderError(
                f"{name} is a sentence-transformers model (it has a modules.json) and needs the "
                "package sentence-transformers, which is not installed"
            ) from error
        self.name, self.digest = name, digest_of(folder, EmbedderError)
        try:
            self._model = library.SentenceTransformer(str(folder), device="cpu")
            self.dimension = len(self.query("width"))
        except Exception as error:  # whatever its modules and files raise
            raise EmbedderError(f"{folder}: cannot be loaded as an embedder ({error})") from error

    def documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._vectors(self._model.encode_document, list(texts))

    def query(self, text: str) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._vectors(self._model.encode_query, [text])[0]
        return found

    def _vectors(self, encode: Any, texts: list[str]) -> NDArray[np.float32]:
        made = encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(made, np.float32)


class _Encoder:
    """A plain Hugging Face encoder: the mean over its last states."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.digest = name, digest_of(folder, EmbedderError)
        self._tokenizer = load_tokenizer(folder, EmbedderError)
        self._model = load(AutoModel, folder, EmbedderError)
        width = getattr(self._model.config, "hidden_size", None)
        if not isinstance(width, int):
            raise EmbedderError(f"{folder}: its config.json names no hidden_size")
        self.dimension = width

    def documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        out = np.zeros((len(texts), self.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for at in range(0, len(order), _BATCH):
            some = order[at : at + _BATCH]
            out[some] = self._forward([texts[i] for i in some])
        return out

    def query(self, text: str) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._forward([text])[0]
        return found

    @torch.inference_mode()
    def _forward(self, texts: list[str]) -> NDArray[np.float32]:
        batch = encode(self._tokenizer, self._model, _MAX_TOKENS, texts)
        mask = batch["attention_mask"].unsqueeze(-1)
        states = self._model(**batch).last_hidden_state.float() * mask
        mean = states.sum(1) / mask.sum(1).clamp(min=1)
        found: NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return found
