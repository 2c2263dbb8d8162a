"""Brings banks to the current model while the previous one goes on serving them.

Text is truth: whatever goes wrong here, the old blocks serve on, and what was collected is kept.
Knows the store and the current model's encoder; nothing of questions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TypeVar

from memsvc_router.api import Identity
from memsvc_storage import BankNotFound, Document

from memsvc.engine.encoding import Encoder
from memsvc.engine.errors import EngineError
from memsvc.engine.lane import EncoderLane
from memsvc.engine.side import Workshop

_LOG = logging.getLogger("memsvc.engine")

T = TypeVar("T")


class Reencoder:
    """Encodes the documents of one bank after the other by `encoder`, whose model is `identity`."""

    def __init__(self, shop: Workshop, encoder: Encoder, identity: Identity) -> None:
        self._shop = shop
        self._encoder = encoder
        self._identity = identity
        self._failed: dict[int, tuple[int, str]] = {}  # (revision, reason) by row

    async def bring(self, bank: str, serving: EncoderLane) -> None:
        """Return once blocks of the current model serve the bank, or the bank is gone.

        `serving` encodes what is added meanwhile. Raises EngineError where the engine is stopping.
        """
        self._failed.clear()
        while True:
            try:
                if not await self._in_thread(lambda: self._is_on_its_way(bank)):
                    return
                await self._collect(bank)
                # What has become READY since is little; nothing more comes while it is encoded.
                async with serving.held():
                    if documents := await self._lacking(bank, -1):
                        await self._encode(bank, documents)
                    if await self._in_thread(lambda: self._promote(bank)):
                        return
            except BankNotFound:
                return
            except EngineError:
                raise
            except Exception as error:
                self._shop.counters.add("encode_failures")
                name = type(error.__cause__ or error).__name__
                _LOG.error("bank %s: encoding anew fails and is tried again: %s", bank, name)
                await asyncio.sleep(self._shop.config.retry_seconds)
            finally:
                self._shop.on_progress()

    async def _collect(self, bank: str) -> None:
        """Blocks for everything that stands now, from the first row to the last."""
        after = -1
        while documents := await self._lacking(bank, after):
            await self._encode(bank, documents)
            self._shop.on_progress()
            after = documents[-1].row_id

    async def _lacking(self, bank: str, after: int) -> list[Document]:
        config = self._shop.config
        but = {row_id: revision for row_id, (revision, _) in self._failed.items()}
        return await self._in_thread(
            lambda: self._shop.store.unmatched(
                bank, config.batch_documents, config.batch_chars, after, but
            )
        )

    async def _encode(self, bank: str, documents: Sequence[Document]) -> None:
        outcome = await self._encoder.collect(documents, self._encoder.submit(documents))
        for document, reason in outcome.failed:
            _LOG.warning("bank %s: row %d cannot be encoded anew", bank, document.row_id)
            self._failed[document.row_id] = (document.revision, reason)
        blocks = [(d.row_id, d.revision, b.tensors, b.tokens) for d, b in outcome.encoded]
        await self._in_thread(
            lambda: self._shop.store.commit_next(bank, asdict(self._identity), blocks)
        )
        self._shop.counters.add("documents_reencoded", len(blocks))
        if outcome.sick is not None:
            raise outcome.sick

    def _is_on_its_way(self, bank: str) -> bool:
        """Not so where the bank was deleted and made anew meanwhile."""
        made_by = self._shop.store.get_bank(bank).identity
        return made_by is not None and made_by != self._identity.digest

    def _promote(self, bank: str) -> bool:
        """Let the new blocks serve; the next question meets them in memory."""
        if not self._shop.store.promote(bank, self._identity.digest, self._failed):
            return False
        self._shop.counters.add("documents_failed", len(self._failed))
        self._shop.banks.drop(bank)
        self._shop.banks.live(bank)
        _LOG.info("bank %s: blocks of the loaded model serve from now on", bank)
        return True

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._shop.io, work)
