"""Temporary banks: an engine over a directory that is deleted afterwards, filled with a corpus.

Knows the engine; nothing of questions or measures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from memsvc_router.api import MemoryModel
from memsvc_storage import NewDocument, StorageError

from memsvc.bench.corpus import Corpus, Passage
from memsvc.bench.lines import InputError
from memsvc.engine import Engine, EngineConfig

Progress = Callable[[str, int, int], None]
"""Hears of a stage's name, how much of it is done, and its total."""

_ADD = 1000  # documents of one transaction
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Loaded:
    """A corpus in an engine, encoded. `names`: the engine's bank for each bank of the corpus;
    `tokens` and `bytes`: of all blocks, near and far parts together."""

    engine: Engine
    names: dict[str, str]
    documents: int
    failed: int
    tokens: int
    bytes: int


@asynccontextmanager
async def temporary_engine(load_model: Callable[[], MemoryModel]) -> AsyncIterator[Engine]:
    """An engine that is ready, over a directory of its own. Raises ModelNotReady if the model
    cannot be loaded."""
    with TemporaryDirectory(prefix="memsvc-bench-") as directory:
        engine = await Engine.start(EngineConfig(Path(directory)), load_model)
        try:
            await engine.wait_ready()
            yield engine
        finally:
            await engine.stop()


@asynccontextmanager
async def temporary_banks(
    corpus: Corpus, load_model: Callable[[], MemoryModel], progress: Progress
) -> AsyncIterator[Loaded]:
    """The corpus, ready to be asked. Raises InputError on a passage that cannot be stored, and
    ModelNotReady if the model cannot be loaded."""
    async with temporary_engine(load_model) as engine:
        yield await _fill(engine, corpus, progress)


async def _fill(engine: Engine, corpus: Corpus, progress: Progress) -> Loaded:
    names = {bank: f"bench-{number}" for number, bank in enumerate(corpus.banks)}
    operations = []
    for bank, passages in corpus.banks.items():
        await engine.create_bank(names[bank])
        operations += await _add(engine, names[bank], passages)
    await _encoded(engine, operations, progress)
    tokens = size = failed = 0
    for name in names.values():
        facts = await engine.facts(name)
        tokens += sum(document.tokens or 0 for document in facts)
        failed += sum(document.state == "FAILED" for document in facts)
        size += (await engine.get_bank(name)).kv_bytes
    documents = sum(len(passages) for passages in corpus.banks.values())
    return Loaded(engine, names, documents, failed, tokens, size)


async def add_passages(
    engine: Engine, bank: str, passages: Sequence[Passage], progress: Progress
) -> None:
    """Return when they are encoded. Raises InputError on a passage that cannot be stored."""
    await _encoded(engine, await _add(engine, bank, passages), progress)


def _groups(passages: Sequence[Passage]) -> Iterator[Sequence[Passage]]:
    for at in range(0, len(passages), _ADD):
        yield passages[at : at + _ADD]


async def _add(engine: Engine, bank: str, passages: Sequence[Passage]) -> list[tuple[str, int]]:
    """The operations that encode some passages, and how many each has."""
    operations = []
    for some in _groups(passages):
        new = [NewDocument(p.text, p.title, p.id, event_time=p.event_time) for p in some]
        result = await engine.add_documents(bank, new)
        for passage, outcome in zip(some, result.documents, strict=True):
            if isinstance(outcome, StorageError):
                raise InputError(f"passage {passage.id!r} cannot be stored: {outcome}")
        operations.append((result.operation.operation_id, len(new)))
    return operations


async def _encoded(
    engine: Engine, operations: Sequence[tuple[str, int]], progress: Progress
) -> None:
    total, ended = sum(size for _, size in operations), 0
    for operation_id, size in operations:
        while True:
            operation = await engine.wait_operation(operation_id, _LOOK_SECONDS)
            progress("encoding", ended + operation.done + operation.failed, total)
            if operation.finished:
                break
        ended += size
