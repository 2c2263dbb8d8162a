# ruff: noqa: N802, ARG002  (the methods' names and arguments are the proto's)
"""MemoryService: questions to a bank. Knows the engine's three ways to ask; only reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio
from memsvc_proto.v1 import compare_pb2, memory_pb2, memory_pb2_grpc

from memsvc.comparing import NothingToAsk
from memsvc.comparing import compare as compared
from memsvc.retrieval import RetrievalError
from memsvc.server import checks, compare, convert, names, options
from memsvc.server.services import Services

_Context = grpc.aio.ServicerContext[Any, Any]


class MemoryServicer(memory_pb2_grpc.MemoryServiceServicer):
    """Serves `memsvc.v1.MemoryService`."""

    def __init__(self, services: Services) -> None:
        self._engine = services.engine
        self._retrieval = services.retrieval
        self._retrieval_models = services.retrieval_models

    async def Recall(
        self, request: memory_pb2.RecallRequest, context: _Context
    ) -> memory_pb2.RecallResponse:
        bank = names.parse_bank("bank", request.bank)
        sight = options.sight(request)
        found = await self._engine.recall(
            bank,
            checks.question("question", request.question),
            options.options(request.options, context.time_remaining()),
            sight.filter,
            with_texts=True,
            as_of=sight.as_of,
            recency=sight.recency,
        )
        return convert.recalled(bank, found)

    async def Ask(
        self, request: memory_pb2.AskRequest, context: _Context
    ) -> AsyncIterator[memory_pb2.AskEvent]:
        bank = names.parse_bank("bank", request.bank)
        sight = options.sight(request)
        answer = self._engine.ask(
            bank,
            checks.question("question", request.question),
            options.options(request.options, context.time_remaining()),
            sight.filter,
            as_of=sight.as_of,
            recency=sight.recency,
        )
        async with aclosing(answer) as events:
            async for event in events:
                yield convert.ask_event(bank, event)

    async def BuildContext(
        self, request: memory_pb2.BuildContextRequest, context: _Context
    ) -> memory_pb2.BuildContextResponse:
        bank = names.parse_bank("bank", request.bank)
        sight = options.sight(request)
        built = await self._engine.build_context(
            bank,
            checks.question("query", request.query),
            checks.count("max_tokens", request.max_tokens, checks.MAX_CONTEXT_TOKENS),
            sight.filter,
            options.options(request.options, context.time_remaining()),
            as_of=sight.as_of,
            recency=sight.recency,
        )
        return memory_pb2.BuildContextResponse(
            text=built.text,
            citations=[convert.citation(bank, citation) for citation in built.citations],
            tokens=built.tokens,
        )

    async def Compare(
        self, request: compare_pb2.CompareRequest, context: _Context
    ) -> AsyncIterator[compare_pb2.CompareEvent]:
        wanted = compare.comparison(request, self._retrieval_models)
        try:
            async with aclosing(compared(self._engine, self._retrieval, wanted)) as told:
                async for one in told:
                    yield compare.event(one)
        except NothingToAsk as fault:
            raise compare.nothing_to_ask(str(fault)) from None
        except RetrievalError as fault:
            raise compare.refusal(fault) from None
