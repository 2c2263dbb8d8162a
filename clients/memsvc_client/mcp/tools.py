"""The tools: what an agent can do with one bank of memory. Knows no transport."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Annotated, TypeVar

from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult
from pydantic import AwareDatetime, Field

from memsvc_client.async_client import AsyncMemoryClient
from memsvc_client.errors import FailedPrecondition, MemsvcError
from memsvc_client.events import AskOptions
from memsvc_client.mcp.outcomes import (
    Answered,
    ContextBlock,
    Listed,
    Listing,
    Memories,
    Receipt,
    Remembered,
    Source,
)
from memsvc_client.names import bank_name, last_id
from memsvc_client.resources import Document, NewDocument, Operation, Scalar

T = TypeVar("T")
Filter = Annotated[
    str,
    Field(
        description="Only documents that this lets through; empty: all. For example "
        'metadata.kind = "mail" AND event_time >= "2026-01-01T00:00:00Z". Fields: id, title, '
        "state, event_time, create_time, update_time, expire_time, metadata.KEY. Operators: "
        "= != < > <= >= IN (…), AND, OR, NOT, parentheses."
    ),
]
Question = Annotated[
    str,
    Field(description="A whole question in plain words; it works better than loose keywords."),
]


class Tools:
    """The tools over one bank, which is made if there is none.

    `wait`: seconds that `remember` waits for the encoding. Every tool raises MemsvcError.
    """

    def __init__(self, client: AsyncMemoryClient, bank: str, wait: float) -> None:
        self._client = client
        self._bank = last_id(bank_name(bank))
        self._wait = wait
        self._opened = False

    async def open(self, timeout: float | None = None) -> None:
        """Make the bank if there is none; nothing once it was seen. Raises MemsvcError."""
        if self._opened:
            return
        await self._client.ensure_bank(self._bank, timeout=timeout)
        self._opened = True

    async def remember(
        self,
        text: Annotated[
            str,
            Field(
                description="What to remember, in full sentences that can be understood alone: "
                "names instead of pronouns, dates instead of 'yesterday'. Up to 1 MiB."
            ),
        ],
        title: Annotated[
            str, Field(description="A short title; it helps to find the memory.")
        ] = "",
        metadata: Annotated[
            dict[str, Scalar] | None,
            Field(description="Facts for filters, such as {'kind': 'preference', 'project': 'x'}."),
        ] = None,
        event_time: Annotated[
            AwareDatetime | None,
            Field(
                description="When what the text tells happened: ISO 8601 with a time zone, for "
                "example 2026-03-01T12:00:00Z."
            ),
        ] = None,
    ) -> Annotated[CallToolResult, Remembered]:
        """Store a text in long-term memory, for this and all later conversations.

        Use it for what will matter later: facts about the user, preferences, decisions, results.
        One matter per call. It waits until the text can be recalled.
        """
        new = NewDocument(text, title, metadata=metadata or {}, event_time=event_time)
        added = await self._client.add(self._bank, new)
        (document,) = added.documents
        if added.operation is not None:
            document = await self._encoded(document, added.operation)
        return Remembered(document=document.id, state=document.state, error=document.error).result()

    async def recall(
        self,
        question: Question,
        k: Annotated[
            int | None, Field(ge=1, le=256, description="At most so many memories.")
        ] = None,
        filter: Filter = "",
    ) -> Annotated[CallToolResult, Memories]:
        """Find the memories that a question needs, best first, each with its best passage.

        Call it before you answer anything that earlier conversations may have told you.
        """
        options = AskOptions(k=k)
        found = await _unless_empty(
            self._client.recall(self._bank, question, options=options, filter=filter)
        )
        hits = found.hits[:k] if found else ()
        return Memories(memories=[Source.of(one) for one in hits]).result()

    async def ask(self, question: Question) -> Annotated[CallToolResult, Answered]:
        """Have memory itself answer a question, with its sources, or say that it does not know.

        For short facts; for anything that needs thought use `recall` or `context`.
        """
        given = await _unless_empty(self._client.ask_answer(self._bank, question))
        return Answered(
            found=given is not None and given.found,
            answer=given.text if given else "",
            confidence=given.confidence if given else 0.0,
            sources=[Source.of(one) for one in given.citations] if given else [],
        ).result()

    async def context(
        self,
        query: Annotated[str, Field(description="What the text is to be about.")],
        max_tokens: Annotated[
            int, Field(ge=1, le=131_072, description="At most so many tokens of text.")
        ] = 1000,
    ) -> Annotated[CallToolResult, ContextBlock]:
        """Get what memory holds on a matter as one text of bounded length, with numbered sources.

        For work that builds on much that was remembered.
        """
        built = await _unless_empty(self._client.build_context(self._bank, query, max_tokens))
        return ContextBlock(
            text=built.text if built else "",
            tokens=built.tokens if built else 0,
            sources=[Source.of(one) for one in built.citations] if built else [],
        ).result()

    async def forget(
        self,
        documents: Annotated[
            Sequence[str],
            Field(max_length=1000, description="Ids of documents, as the other tools show them."),
        ] = (),
        filter: Annotated[
            str,
            Field(
                description="Instead of ids: all documents that this lets through, such as "
                'metadata.project = "x".'
            ),
        ] = "",
        confirm: Annotated[
            bool,
            Field(
                description="With a filter: false only tells what would be forgotten, true does it."
            ),
        ] = False,
        erase: Annotated[
            bool,
            Field(
                description="Also rewrite the server's files, so that nothing of it is left on "
                "disk. This can take minutes."
            ),
        ] = False,
    ) -> Annotated[CallToolResult, Receipt]:
        """Delete memories for good, by their ids or all that a filter lets through.

        It cannot be undone: do it only when the user wants it. With a filter call it first
        without `confirm`, and show the user what would be forgotten.
        """
        if bool(documents) == bool(filter):
            raise ToolError("Give either `documents` or `filter`, and not both.")
        only_told = bool(filter) and not confirm
        receipt = await self._client.forget_documents(
            self._bank,
            documents=documents or None,
            filter=filter or None,
            compact=erase and not only_told,
            validate_only=only_told,
        )
        return Receipt.of(receipt, only_told, [last_id(one) for one in documents]).result()

    async def list_documents(
        self,
        filter: Filter = "",
        limit: Annotated[int, Field(ge=1, le=1000, description="At most so many.")] = 20,
    ) -> Annotated[CallToolResult, Listing]:
        """List what is in memory, oldest first, with the beginning of each text.

        To look through memory or to find ids; to answer a question use `recall`.
        """
        shown: list[Listed] = []
        pager = self._client.list_documents(
            self._bank, filter=filter, with_text=True, page_size=min(limit + 1, 1000)
        )
        async for one in pager:
            if len(shown) == limit:
                return Listing(documents=shown, more=True).result()
            shown.append(Listed.of(one))
        return Listing(documents=shown, more=False).result()

    async def _encoded(self, document: Document, operation: Operation) -> Document:
        """The document after its encoding, or as it is when the wait is over."""
        try:
            await self._client.wait_operation(operation, timeout=self._wait)
            return await self._client.get_document(self._bank, document.id)
        except MemsvcError:
            return document  # It is durable: whoever stored it must not do so again.


async def _unless_empty(call: Awaitable[T]) -> T | None:
    """What memory says; None where it holds nothing yet, which is no fault of who asks."""
    try:
        return await call
    except FailedPrecondition as error:
        if error.reason != "BANK_EMPTY":
            raise
        return None
