"""The encoder lane: pending documents become committed blocks and enter the live bank.

Three things happen at once: the next batch is fetched, the owner thread encodes, and the batch
before is written. Text is truth, so whatever goes wrong here, documents merely stay pending.
Knows the store, the owner thread and live banks; nothing of questions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar

from memsvc_router.api import EncodedDocument, Identity
from memsvc_storage import BankNotFound, Document, DocumentNotFound, Store

from memsvc.engine.banks import Banks
from memsvc.engine.counters import Counters
from memsvc.engine.encoding import Encoder, Encoding, ModelSick
from memsvc.engine.errors import EngineError
from memsvc.engine.types import EngineConfig

_LOG = logging.getLogger("memsvc.engine")
_LINGER_SECONDS = 0.02  # documents that come one by one share a segment
_MOST_DOUBLINGS = 5

T = TypeVar("T")


@dataclass
class _Batch:
    documents: list[Document]
    encoded: Future[list[EncodedDocument]]


class EncoderLane:
    """One lane for all banks that a model serves. `on_progress` hears of every commit, from any
    thread."""

    def __init__(
        self,
        config: EngineConfig,
        store: Store,
        banks: Banks,
        encoder: Encoder,
        counters: Counters,
        io: Executor,
        on_progress: Callable[[], None],
    ) -> None:
        self._config = config
        self._store = store
        self._banks = banks
        self._encoder = encoder
        self._counters = counters
        self._io = io
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop()
        self._takes: Collection[str | None] = ()
        self._work = asyncio.Event()
        self._batches: asyncio.Queue[_Batch] = asyncio.Queue(maxsize=1)
        self._in_flight: set[int] = set()  # rows
        self._writing = asyncio.Lock()
        self.failures = 0
        """Failures in a row; 0 as soon as something was encoded and committed."""
        self.last_failure = ""

    def notify(self) -> None:
        """There may be something to encode. Thread-safe."""
        self._loop.call_soon_threadsafe(self._work.set)

    async def settled(self) -> None:
        """Return once what the store calls READY by now has entered the live bank, too."""
        async with self._writing:
            return

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Nothing that this lane encodes becomes READY meanwhile."""
        async with self._writing:
            yield

    async def run(self, identity: Identity, new_banks: bool) -> None:
        """Encode what is pending, now and whenever notified, until cancelled: in banks that this
        identity serves, and with `new_banks` in those that have had no block yet."""
        self._takes = (None, identity.digest) if new_banks else (identity.digest,)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fetching())
            tasks.create_task(self._committing(asdict(identity)))

    # ---- the fetching half
    async def _fetching(self) -> None:
        while True:
            self._work.clear()
            try:
                documents = await self._in_thread(
                    partial(self._next_documents, list(self._in_flight))
                )
            except Exception as error:
                await self._failed("reading pending documents", error)
                continue
            if documents:
                await self._batches.put(self._submitted(documents))
            elif self.failures and not self._in_flight:
                await self._try_to_recover()
            else:
                await self._work.wait()
                await asyncio.sleep(_LINGER_SECONDS)

    def _next_documents(self, flying: list[int]) -> list[Document]:
        """The next batch beyond what is in flight (the store lists oldest first). A document that
        changed in flight comes again once its batch has ended."""
        size = self._config.batch_documents, self._config.batch_chars
        return self._store.pending(*size, self._takes, flying)

    def _submitted(self, documents: list[Document]) -> _Batch:
        for document in documents:
            self._in_flight.add(document.row_id)
        return _Batch(documents, self._encoder.submit(documents))

    async def _try_to_recover(self) -> None:
        """Nothing waits that could show the model sound again: ask it, after a pause."""
        await self._pause()
        try:
            await self._encoder.probe()
            self._succeeded()
        except ModelSick:
            self._counters.add("encode_failures")

    # ---- the committing half
    async def _committing(self, identity: dict[str, object]) -> None:
        while True:
            batch = await self._batches.get()
            try:
                await self._finish(batch, identity)
            except EngineError:
                raise
            except Exception as error:
                await self._failed("encoding", error)
            finally:
                for document in batch.documents:
                    self._in_flight.discard(document.row_id)
                self._work.set()
                self._on_progress()

    async def _finish(self, batch: _Batch, identity: dict[str, object]) -> None:
        outcome = await self._encoder.collect(batch.documents, batch.encoded)
        bank = batch.documents[0].bank
        async with self._writing:
            await self._in_thread(lambda: self._commit(bank, identity, outcome))
        if outcome.sick is not None:
            raise outcome.sick
        if outcome.encoded or len(batch.documents) == 1:
            self._succeeded()
        else:
            await self._failed("encoding", RuntimeError("every document of a batch failed"))

    def _commit(self, bank: str, identity: dict[str, object], outcome: Encoding) -> None:
        for document, reason in outcome.failed:
            self._fail(document, reason)
        if not outcome.encoded:
            return
        try:
            blocks = self._store.commit_blocks(
                bank,
                identity,
                [(d.row_id, d.revision, b.tensors, b.tokens) for d, b in outcome.encoded],
            )
        except BankNotFound:
            return  # deleted meanwhile, and its documents with it
        self._banks.take_in(bank, blocks, {d.row_id: b.tensors for d, b in outcome.encoded})
        self._counters.add("documents_encoded", len(blocks))
        self._counters.add("tokens_encoded", sum(block.tokens for block in blocks))

    def _fail(self, document: Document, reason: str) -> None:
        _LOG.warning("bank %s: row %d cannot be encoded", document.bank, document.row_id)
        self._counters.add("documents_failed")
        try:
            self._store.fail_document(document.row_id, document.revision, reason)
        except (BankNotFound, DocumentNotFound):
            return  # deleted meanwhile

    # ---- health
    def _succeeded(self) -> None:
        if self.failures:
            _LOG.info("encoding works again after %d failures", self.failures)
        self.failures = 0
        self.last_failure = ""

    async def _failed(self, doing: str, error: Exception) -> None:
        self.failures += 1
        self.last_failure = f"{doing} fails: {type(error.__cause__ or error).__name__}"
        self._counters.add("encode_failures")
        _LOG.error("%s (%d times in a row)", self.last_failure, self.failures)
        await self._pause()

    async def _pause(self) -> None:
        doublings = min(max(self.failures - 1, 0), _MOST_DOUBLINGS)
        await asyncio.sleep(self._config.retry_seconds * 2**doublings)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._io, work)
