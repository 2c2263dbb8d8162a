"""The asyncio client's questions, operations and server verbs. Knows no bytes and no channels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from memsvc_client import compare_calls, feedback_calls, memory_calls
from memsvc_client.async_transport import AsyncTransport
from memsvc_client.comparing import CompareEvent, CompareQuestion, CompareSettings, ReportBuilder
from memsvc_client.errors import DeadlineExceeded, Unavailable
from memsvc_client.events import (
    Answer,
    AnswerBuilder,
    AskOptions,
    Context,
    Event,
    Recall,
    Recency,
)
from memsvc_client.names import bank_name, last_id
from memsvc_client.pagers import AsyncPager
from memsvc_client.resources import (
    Feedback,
    HealthStatus,
    Operation,
    OperationState,
    ServerInfo,
    Verdict,
)
from memsvc_client.transport import (
    COMPARE_TIMEOUT,
    SERVING_LOOK,
    SERVING_TIMEOUT,
    WAIT_GRACE,
    WAIT_SLICE,
    WATCH_SLICE,
)


class AsyncMemoryVerbs(AsyncTransport):
    """MemoryService, FeedbackService, OperationService, AdminService and health."""

    async def recall(
        self,
        bank: str,
        question: str,
        *,
        options: AskOptions = AskOptions(),
        filter: str = "",
        as_of: datetime | None = None,
        recency: Recency | None = None,
        timeout: float | None = None,
    ) -> Recall:
        """Which documents does this question need? Best first.

        `as_of`: of what was known by then; `recency`: what is recent counts for more.
        """
        call = memory_calls.recall(bank, question, options, filter, as_of, recency)
        return await self._run(call, timeout)

    def ask(
        self,
        bank: str,
        question: str,
        *,
        options: AskOptions = AskOptions(),
        filter: str = "",
        as_of: datetime | None = None,
        recency: Recency | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Hops, citations and pieces of the answer as they come, then Done.

        The call begins with the first event that is read; leaving early cancels it.
        """
        call = memory_calls.ask(bank, question, options, filter, as_of, recency)
        return self._receive(call, timeout)

    async def ask_answer(
        self,
        bank: str,
        question: str,
        *,
        options: AskOptions = AskOptions(),
        filter: str = "",
        as_of: datetime | None = None,
        recency: Recency | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """The whole answer at once."""
        builder = AnswerBuilder(bank_name(bank), question)
        async for event in self.ask(
            bank,
            question,
            options=options,
            filter=filter,
            as_of=as_of,
            recency=recency,
            timeout=timeout,
        ):
            builder.add(event)
        return builder.answer()

    async def build_context(
        self,
        bank: str,
        query: str,
        max_tokens: int,
        *,
        options: AskOptions = AskOptions(),
        filter: str = "",
        as_of: datetime | None = None,
        recency: Recency | None = None,
        timeout: float | None = None,
    ) -> Context:
        """Text for any language model's prompt, of at most `max_tokens` tokens."""
        call = memory_calls.build_context(bank, query, max_tokens, options, filter, as_of, recency)
        return await self._run(call, timeout)

    def compare(
        self,
        bank: str,
        questions: Iterable[str | CompareQuestion],
        *,
        paths: Sequence[str] = (),
        settings: CompareSettings = CompareSettings(),
        filter: str = "",
        timeout: float | None = COMPARE_TIMEOUT,
    ) -> AsyncGenerator[CompareEvent, None]:
        """Ask all questions on several paths (none named: on all) and measure what comes of it.

        Progress, skipped paths, one result for each question and path, summaries on the way and
        the complete one at the end. Leaving early stops within one question.
        """
        call = compare_calls.compare(bank, questions, paths, settings, filter)
        return self._receive(call, timeout)

    async def compare_report(
        self,
        bank: str,
        questions: Iterable[str | CompareQuestion],
        *,
        paths: Sequence[str] = (),
        settings: CompareSettings = CompareSettings(),
        filter: str = "",
        title: str = "",
        on_event: Callable[[CompareEvent], None] | None = None,
        timeout: float | None = COMPARE_TIMEOUT,
    ) -> dict[str, Any]:
        """The whole comparison as results of schema 1, as `memsvc_client.report.render` takes."""
        builder = ReportBuilder(last_id(bank))
        async for event in self.compare(
            bank, questions, paths=paths, settings=settings, filter=filter, timeout=timeout
        ):
            builder.add(event)
            if on_event is not None:
                on_event(event)
        return builder.report(title)

    async def record_feedback(
        self,
        bank: str,
        question: str,
        *,
        relevant: Iterable[str] = (),
        irrelevant: Iterable[str] = (),
        verdict: Verdict = "",
        answer: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Feedback:
        """Keep which documents a question needed, and whether its answer was right (`answer`: the
        right one). Raises InvalidArgument, NotFound."""
        call = feedback_calls.record_feedback(
            bank, question, relevant, irrelevant, verdict, answer, request_id
        )
        return await self._run(call, timeout)

    async def feedback(
        self,
        about: Recall | Answer,
        useful: bool | None = None,
        *,
        documents: Iterable[str] | None = None,
        answer: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Feedback:
        """Say how a recall or an answer was. `useful` of a recall: what it read was needed, or of
        no use; of an answer: it was right, and what it cites was needed, or it was wrong.
        `documents`: what was needed instead; `answer`: the right one. Raises as record_feedback.
        """
        call = feedback_calls.feedback(about, useful, documents, answer, request_id)
        return await self._run(call, timeout)

    def list_feedback(
        self, bank: str, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> AsyncPager[Feedback]:
        """The feedback of a bank, oldest first. Raises NotFound on reading."""
        return AsyncPager(
            lambda token: self._run(feedback_calls.list_feedback(bank, page_size, token), timeout),
            page_token,
        )

    async def delete_feedback(
        self, bank: str, feedback: str, *, timeout: float | None = None
    ) -> None:
        """Forget one feedback. Raises NotFound."""
        await self._run(feedback_calls.delete_feedback(bank, feedback), timeout)

    async def get_operation(self, operation: str, *, timeout: float | None = None) -> Operation:
        """One operation as it stands. Raises NotFound."""
        return await self._run(memory_calls.get_operation(operation), timeout)

    def list_operations(
        self,
        *,
        bank: str | None = None,
        state: OperationState | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> AsyncPager[Operation]:
        """Operations, newest first; of one bank, or in one state."""
        return AsyncPager(
            lambda token: self._run(
                memory_calls.list_operations(bank, state, page_size, token), timeout
            ),
            page_token,
        )

    async def wait_operation(
        self,
        operation: str | Operation,
        *,
        on_progress: Callable[[Operation], None] | None = None,
        timeout: float | None = None,
    ) -> Operation:
        """Wait for the end, DONE or not; None waits for as long as it takes.

        Raises DeadlineExceeded if `timeout` seconds pass first.
        """
        name = operation if isinstance(operation, str) else operation.name
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            seconds = WAIT_SLICE if on_progress is None else WATCH_SLICE
            if deadline is not None:
                seconds = max(0.0, min(seconds, deadline - time.monotonic()))
            call = memory_calls.wait_operation(name, seconds)
            state = await self._run(call, seconds + WAIT_GRACE)
            if on_progress is not None:
                on_progress(state)
            if state.ended:
                return state
            if deadline is not None and time.monotonic() >= deadline:
                raise DeadlineExceeded(f"{state.name} is still {state.state}")

    async def cancel_operation(self, operation: str, *, timeout: float | None = None) -> Operation:
        """Stop a compaction. Raises FailedPrecondition, NotFound."""
        return await self._run(memory_calls.cancel_operation(operation), timeout)

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Which server is there, and in which state?"""
        return await self._run(memory_calls.server_info(), timeout)

    async def health(self, service: str = "", *, timeout: float | None = None) -> HealthStatus:
        """Whether the server, or one service of it ("memsvc.v1.MemoryService"), is serving."""
        return await self._run(memory_calls.health(service), timeout)

    async def wait_serving(self, *, timeout: float = SERVING_TIMEOUT) -> None:
        """Return once the server answers questions; one that is starting is waited for.

        Raises Unavailable if its model could not be loaded, DeadlineExceeded if `timeout` seconds
        pass first.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                serving = await self.health() == "SERVING"
                info = await self.server_info()
            except Unavailable:
                serving, info = False, None
            if serving:
                return
            if info is not None and info.state == "FAILED":
                raise Unavailable(info.state_reason, reason="MODEL_FAILED")
            await asyncio.sleep(SERVING_LOOK)
        raise DeadlineExceeded(f"the server is not serving after {timeout:g} s")
