"""Encoding some documents on the owner thread, and finding out who is to blame if it fails.

Knows the model and the owner thread; nothing of stores, batches or segments.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from memsvc_router.api import (
    ROUTING,
    SPANS,
    DocumentText,
    EncodedDocument,
    MemoryModel,
    content_name,
    is_content,
)
from memsvc_storage import Document

from memsvc.engine.errors import EngineError
from memsvc.engine.owner import ModelOwner, Steps
from memsvc.engine.rest import at_rest

_PROBE = DocumentText("Probe", "A plain sentence that any sound model can encode.")
_REASON_CHARS = 200


class ModelSick(Exception):  # noqa: N818
    """The model cannot encode even a plain sentence: no document is to blame."""


@dataclass
class Encoding:
    """What became of some documents: blocks as they are stored, or why there are none. `sick`:
    the model failed, and what is in neither list is to be tried again."""

    encoded: list[tuple[Document, EncodedDocument]] = field(default_factory=list)
    failed: list[tuple[Document, str]] = field(default_factory=list)
    sick: ModelSick | None = None


class Encoder:
    """Encodes on one owner thread, and knows how fast."""

    def __init__(self, owner: ModelOwner) -> None:
        self._owner = owner
        self._tokens = 0
        self._seconds = 0.0

    @property
    def rate(self) -> float | None:
        """Tokens a second while the model was at it; None before it has encoded anything."""
        return self._tokens / self._seconds if self._tokens else None

    def submit(self, documents: Sequence[Document]) -> Future[list[EncodedDocument]]:
        texts = [DocumentText(d.title, d.text, d.document_id) for d in documents]

        def encode(model: MemoryModel) -> Steps[list[EncodedDocument]]:
            steps = model.encode_steps(texts)
            while True:
                started = time.perf_counter()
                try:
                    next(steps)
                except StopIteration as end:
                    blocks: list[EncodedDocument] = end.value
                    break
                finally:
                    self._seconds += time.perf_counter() - started
                yield
            self._tokens += sum(block.tokens for block in blocks)
            return blocks

        return self._owner.encode(encode)

    async def collect(
        self, documents: Sequence[Document], future: Future[list[EncodedDocument]]
    ) -> Encoding:
        """The outcome of submitted documents; those that fail alone do not hold up the others.

        Raises EngineError where the engine is stopping.
        """
        outcome = Encoding()
        try:
            await self._encoded(documents, future, outcome)
        except EngineError:
            raise
        except Exception:
            try:
                await self.probe()
                await self._one_by_one(documents, outcome)
            except ModelSick as error:
                outcome.sick = error
        return outcome

    async def _one_by_one(self, documents: Sequence[Document], outcome: Encoding) -> None:
        """Raises ModelSick; what was encoded until then is kept."""
        for document in documents:
            try:
                await self._encoded([document], self.submit([document]), outcome)
            except EngineError:
                raise
            except Exception as error:
                await self.probe()  # to blame is what fails between two sentences that do not
                outcome.failed.append((document, _reason(error)))

    async def _encoded(
        self,
        documents: Sequence[Document],
        future: Future[list[EncodedDocument]],
        outcome: Encoding,
    ) -> None:
        blocks = await asyncio.wrap_future(future)
        await asyncio.to_thread(_sort, documents, blocks, outcome)  # milliseconds of arithmetic

    async def probe(self) -> None:
        """Raises ModelSick unless the model encodes a plain sentence."""
        try:
            future = self._owner.encode(lambda model: model.encode_steps([_PROBE]))
            _check((await asyncio.wrap_future(future))[0])
        except EngineError:
            raise
        except Exception as error:
            raise ModelSick(type(error).__name__) from error


def _sort(documents: Sequence[Document], encoded: list[EncodedDocument], outcome: Encoding) -> None:
    if len(encoded) != len(documents):
        raise ValueError(f"{len(documents)} documents became {len(encoded)} blocks")
    for document, block in zip(documents, encoded, strict=True):
        try:
            _check(block)
            outcome.encoded.append((document, at_rest(block)))
        except ValueError as error:
            outcome.failed.append((document, _reason(error)))


def _check(block: EncodedDocument) -> None:
    """One key that is not a number would win or lose every comparison: never let it in."""
    for name in (content_name(0), ROUTING, SPANS):
        if name not in block.tensors:
            raise ValueError(f"the block has no {name}")
    for name, values in block.tensors.items():
        if (name == ROUTING or is_content(name)) and not np.isfinite(values).all():
            raise ValueError(f"the block's {name} is not finite")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_REASON_CHARS]
