"""A LangChain retriever over a memsvc bank: `MemsvcRetriever`.

Knows LangChain's documents; what it brings is what `recall` finds.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from memsvc_client.client import MemoryClient
from memsvc_client.events import AskOptions, Recency
from memsvc_client.integrations.shared import Content, content, facts, missing, recall

try:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
    )
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
except ImportError as error:
    raise missing("langchain", error) from error


class MemsvcRetriever(BaseRetriever):
    """The documents that a question needs, best first; raises MemsvcError.

    `k`: at most so many; `filter`: only those it lets through (docs/filters.md); `content`: whole
    documents, or the passages that were found in them; `as_of` and `recency` as in `recall`.
    `invoke` takes `k`, `filter` and `as_of` as well. Asynchronous calls run in a thread.
    """

    client: MemoryClient
    bank: str
    k: int = 4
    filter: str = ""
    content: Content = "document"
    options: AskOptions = AskOptions()
    as_of: datetime | None = None
    recency: Recency | None = None

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  (LangChain's signature)
        k: int | None = None,
        filter: str | None = None,
        as_of: datetime | None = None,
    ) -> list[Document]:
        return self._find(query, k, filter, as_of)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002
        k: int | None = None,
        filter: str | None = None,
        as_of: datetime | None = None,
    ) -> list[Document]:
        return await asyncio.to_thread(self._find, query, k, filter, as_of)

    def _find(
        self, query: str, k: int | None, filter: str | None, as_of: datetime | None
    ) -> list[Document]:
        found = recall(
            self.client,
            self.bank,
            query,
            self.k if k is None else k,
            self.filter if filter is None else filter,
            self.options,
            as_of or self.as_of,
            self.recency,
        )
        return [
            Document(
                id=document.name,
                page_content=content(hit, document, self.content),
                metadata=facts(hit, document),
            )
            for hit, document in found
        ]
