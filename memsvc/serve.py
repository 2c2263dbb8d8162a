"""One server process from its start to its end: engine, gRPC, metrics, signals.

Knows the order in which things start and stop; knows nothing of what a call does.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from memsvc_router.api import MemoryModel

from memsvc.config import ServerConfig
from memsvc.engine import Engine, EngineConfig
from memsvc.pagination import PageTokens
from memsvc.retrieval import Retrieval
from memsvc.routers import served_by
from memsvc.server.app import Application
from memsvc.server.services import Services
from memsvc.sessions.counting import Tokenizers
from memsvc.telemetry import Metrics

_log = logging.getLogger("memsvc.serve")
# The engine needs a moment of its own after the calls have ended, to commit what it encodes.
_ENGINE_SHARE = 0.5


def engine_config(config: ServerConfig) -> EngineConfig:
    """The engine's part of the settings."""
    url = config.database_url
    return EngineConfig(
        data_dir=config.data,
        database_url=url.get_secret_value() if url is not None else None,
        compact_dead_fraction=config.auto_compact_dead_fraction,
        near_bytes=None if config.near_memory_gib is None else int(config.near_memory_gib * 2**30),
        pinned_banks=config.pinned_banks,
        coarse_chunks=config.coarse_chunks or None,
    )


async def serve(
    config: ServerConfig,
    load_model: Callable[[str | None], MemoryModel],
    on_listening: Callable[[str], None],
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`, then drain and return.

    `load_model` gets a name as in the settings, None for the model that ships.
    `on_listening` gets the bound `HOST:PORT` once calls are taken (the model may still load).
    Raises OSError if an address cannot be bound or a tokenizer not be read, and StorageError if
    the store cannot be opened or the router version that should serve is gone.
    """
    stop = stop or asyncio.Event()
    config.data.mkdir(parents=True, exist_ok=True)
    with ExitStack() as cleanup:
        _stop_on_signals(stop, cleanup)
        engine = await _start(config, load_model)
        try:
            await _serve_engine(config, engine, on_listening, stop, cleanup)
        except BaseException:
            await engine.stop(0)
            raise
        await engine.stop(config.drain_seconds * _ENGINE_SHARE)
    _log.info("stopped")


async def _start(config: ServerConfig, load_model: Callable[[str | None], MemoryModel]) -> Engine:
    served = served_by(config)
    if served.version:
        _log.info("router", extra={"data": {"version": served.version}})
    previous = None
    if served.previous != served.model:
        previous = partial(load_model, served.previous)
    return await Engine.start(engine_config(config), partial(load_model, served.model), previous)


async def _serve_engine(
    config: ServerConfig,
    engine: Engine,
    on_listening: Callable[[str], None],
    stop: asyncio.Event,
    cleanup: ExitStack,
) -> None:
    metrics = Metrics()
    metrics.watch(engine.counters)
    tokens = PageTokens.open(config.data, config.page_token_hours * 3600)
    # Where anyone may call, only this machine can: its users may name any file of theirs.
    models = frozenset(config.retrieval_models) if config.api_keys else None
    services = Services(
        engine,
        tokens,
        retrieval=Retrieval(config.data),
        retrieval_models=models,
        turn_context=config.turn_context,
        tokenizers=Tokenizers(config.tokenizers),
    )
    keys = [key.get_secret_value() for key in config.api_keys]
    application = Application(services, metrics, keys)
    if config.metrics_listen is not None:
        cleanup.enter_context(metrics.serving(config.metrics_listen))
    address = await application.start(config.listen)
    _log.info("listening", extra={"data": {"address": address}})
    on_listening(address)
    await stop.wait()
    _log.info("draining")
    await application.drain(config.drain_seconds)


def _stop_on_signals(stop: asyncio.Event, cleanup: ExitStack) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
        cleanup.callback(loop.remove_signal_handler, number)
