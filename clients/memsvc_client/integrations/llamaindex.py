"""memsvc in LlamaIndex: `MemsvcMemoryBlock` for a `Memory`, and `MemsvcRetriever`.

The block keeps what leaves the short-term memory as turns of a memsvc session, and reminds of
what matters for the last question. Knows LlamaIndex's messages and nodes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from memsvc_client.client import MemoryClient
from memsvc_client.events import AskOptions, Hit, Recency
from memsvc_client.integrations.shared import Content, Pending, content, facts, missing, recall
from memsvc_client.resources import Document
from memsvc_client.session_resources import NewTurn, Scope, ToolCall

try:
    from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.callbacks.base import CallbackManager
    from llama_index.core.memory import BaseMemoryBlock
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
except ImportError as error:
    raise missing("llamaindex", error) from error

_TURNS: Final = 100  # that one append can bring
_QUERY_CHARACTERS: Final = 8192  # that a query may have

# Of a node's metadata: what says nothing to a model that reads it.
_NOT_FOR_MODELS: Final = ("document", "score", "start", "end", "create_time", "update_time")


class MemsvcMemoryBlock(BaseMemoryBlock[str]):
    """Long-term memory in sessions of a memsvc bank; its calls raise MemsvcError.

    Reading waits up to `wait` seconds for what this block has written to be encoded.
    """

    name: str = Field(default="LongTermMemory", description="How the memory calls the block.")
    client: MemoryClient = Field(exclude=True, description="Talks to the memsvc server.")
    bank: str = Field(description="The bank that holds the sessions.")
    session: str = Field(default="", description="The session; empty: that of the memory.")
    agent: str = Field(default="", description="Whose sessions new ones are.")
    scope: Scope | None = Field(default=None, description="What may be reminded of.")
    max_tokens: int = Field(default=1000, description="At most so many tokens of reminders.")
    tokenizer: str = Field(default="", description="Whose tokens; empty: the server's model's.")
    recency: Recency | None = Field(default=None, description="Whether what is recent counts more.")
    wait: float = Field(default=10.0, description="Seconds that reading waits for encodings.")
    _pending: Pending = PrivateAttr(default_factory=Pending)

    async def _aget(
        self,
        messages: list[ChatMessage] | None = None,
        session_id: str | None = None,
        **block_kwargs: Any,  # noqa: ARG002  (LlamaIndex's signature)
    ) -> str:
        """What memory holds for the last thing that the user said; empty if there is nothing."""
        query = _last_said(messages or [])
        if not query:
            return ""
        return await asyncio.to_thread(self._remind, self._session(session_id), query)

    async def _aput(self, messages: list[ChatMessage]) -> None:
        # The memory leaves its id in each message; it is no part of what was said.
        ids = [message.additional_kwargs.pop("session_id", None) for message in messages]
        turns = list(_turns(messages))
        if turns:
            named = next((one for one in ids if one), None)
            await asyncio.to_thread(self._keep, self._session(named), turns)

    def _session(self, of_memory: str | None) -> str:
        session = self.session or of_memory
        if not session:
            raise ValueError("a session is needed: give the block one, or use it in a Memory")
        return session

    def _keep(self, session: str, turns: Sequence[NewTurn]) -> None:
        handle = self.client.session(self.bank, session, agent=self.agent)
        left = iter(turns)
        while some := list(islice(left, _TURNS)):
            operation = handle.extend(some).operation
            if operation is not None:
                self._pending.add([operation.name])

    def _remind(self, session: str, query: str) -> str:
        self._pending.settle(self.client, self.wait)
        built = self.client.session(self.bank, session, agent=self.agent).context(
            self.max_tokens,
            query,
            tokenizer=self.tokenizer,
            scope=self.scope,
            recent_turns=0,  # the memory itself holds them
            recency=self.recency,
        )
        return built.text if built.memories else ""


def _last_said(messages: Sequence[ChatMessage]) -> str:
    """The end of the user's last message that has text."""
    said = (message.content or "" for message in reversed(messages) if message.role == "user")
    return next((text.strip() for text in said if text.strip()), "")[-_QUERY_CHARACTERS:]


def _turns(messages: Sequence[ChatMessage]) -> Iterator[NewTurn]:
    """Messages as turns; those without text and tool calls are left out."""
    for message in messages:
        text = message.content or ""
        calls = [_tool_call(one) for one in message.blocks if isinstance(one, ToolCallBlock)]
        if text.strip() or calls:
            yield NewTurn(message.role.value, text, tool_calls=calls)


def _tool_call(block: ToolCallBlock) -> ToolCall:
    asked = block.tool_kwargs
    arguments = asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False)
    return ToolCall(id=block.tool_call_id or "", name=block.tool_name, arguments=arguments)


class MemsvcRetriever(BaseRetriever):
    """The documents that a question needs, best first; raises MemsvcError.

    `k`: at most so many; `filter`: only those it lets through (docs/filters.md); `content`: whole
    documents, or the passages that were found in them; `as_of` and `recency` as in `recall`.
    Asynchronous calls run in a thread.
    """

    def __init__(
        self,
        client: MemoryClient,
        bank: str,
        *,
        k: int = 4,
        filter: str = "",
        content: Content = "document",
        options: AskOptions = AskOptions(),
        as_of: datetime | None = None,
        recency: Recency | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager)
        self._client = client
        self._bank = bank
        self._k = k
        self._filter = filter
        self._content: Content = content
        self._options = options
        self._as_of = as_of
        self._recency = recency

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = recall(
            self._client,
            self._bank,
            query_bundle.query_str,
            self._k,
            self._filter,
            self._options,
            self._as_of,
            self._recency,
        )
        return [NodeWithScore(node=self._node(*one), score=one[0].score) for one in found]

    def _node(self, hit: Hit, document: Document) -> TextNode:
        return TextNode(
            id_=document.name,
            text=content(hit, document, self._content),
            metadata=facts(hit, document),
            excluded_llm_metadata_keys=list(_NOT_FOR_MODELS),
            excluded_embed_metadata_keys=list(_NOT_FOR_MODELS),
        )

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)
