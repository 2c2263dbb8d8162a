"""Embedders and checkpoints for retrieval tests: small, deterministic, made on the fly."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from memsvc_storage import DocumentChanges, NewDocument
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedModel

from memsvc.engine import Engine, IndexedView
from memsvc.retrieval.dense import DenseIndex
from memsvc.retrieval.paths import IndexKind, PathSettings
from tests.engine_support import PATIENCE, add, running, words

T = TypeVar("T")
BANK = "b"
_WORDS = ["the", "tea", "grows", "in", "green", "hills", "whales", "swim", "sea", "paris"]
_WORDS += ["france", "rome", "italy", "capital", "of", "is"]


class WordEmbedder:
    """A `TextEmbedder` of hashed words that notes what it embeds."""

    def __init__(self, digest: str = "words", dimension: int = 64) -> None:
        self.name, self.digest, self.dimension = "words", digest, dimension
        self.embedded: list[str] = []

    def documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        return np.stack([self.query(text) for text in texts])

    def query(self, text: str) -> NDArray[np.float32]:
        out = np.full(self.dimension, 1e-3, np.float32)
        for word in words(text):
            out[zlib.crc32(f"{self.digest}{word}".encode()) % self.dimension] += 1
        return np.asarray(out / np.linalg.norm(out), np.float32)


@asynccontextmanager
async def filled(
    data_dir: Path, *documents: NewDocument, bank: str = BANK
) -> AsyncIterator[Engine]:
    """An engine whose bank holds these documents."""
    async with running(data_dir) as engine:
        await engine.create_bank(bank)
        if documents:
            await add(engine, bank, *documents)
        yield engine


def numbered(*texts: str, first: int = 0) -> list[NewDocument]:
    """Documents d0, d1, …"""
    return [NewDocument(text, document_id=f"d{n}") for n, text in enumerate(texts, first)]


async def update(engine: Engine, document_id: str, text: str, bank: str = BANK) -> None:
    """Give a document another text, and wait until it is encoded."""
    _, operation = await engine.update_document(bank, document_id, DocumentChanges(text=text))
    assert operation is not None
    await engine.wait_operation(operation.operation_id, PATIENCE)


async def found(
    engine: Engine, index: DenseIndex, query: str, k: int = 3, kind: IndexKind = "flat"
) -> list[str]:
    """Ids of what the index finds in the bank as it is now."""
    settings = PathSettings("rag", index=kind)
    return await engine.look(
        BANK, partial(named, partial(index.search, query=query, k=k), settings)
    )


def named(
    search: Callable[..., list[tuple[int, float]]], settings: PathSettings, view: IndexedView
) -> list[str]:
    """Ids in the order of a search."""
    return [view.document_id(handle) for handle, _ in search(view, settings)]


def make_tokenizer(folder: Path) -> None:
    """A tokenizer.json of whole words, as BERT's."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: n for n, word in enumerate([*special, *_WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", '
        '"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}'
    )


def _config(hidden: int, labels: int = 1) -> BertConfig:
    config = BertConfig(
        vocab_size=4 + len(_WORDS),
        hidden_size=hidden,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        pad_token_id=0,
    )
    config.num_labels = labels
    return config


def make_encoder(folder: Path, hidden: int = 16, seed: int = 0) -> Path:
    """A random encoder with its tokenizer."""
    return _save(folder, lambda: BertModel(_config(hidden)), seed)


def make_classifier(folder: Path, labels: int = 1, seed: int = 0) -> Path:
    """A random cross-encoder with its tokenizer."""
    return _save(folder, lambda: BertForSequenceClassification(_config(16, labels)), seed)


def _save(folder: Path, build: Callable[[], PreTrainedModel], seed: int) -> Path:
    torch.manual_seed(seed)
    make_tokenizer(folder)
    build().save_pretrained(folder)
    return folder
