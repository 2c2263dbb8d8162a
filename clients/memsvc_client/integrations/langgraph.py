"""A LangGraph store that keeps its items in a memsvc bank: `MemsvcStore`.

Search with a query is memsvc's recall; there is nothing to embed. See docs/integrations.md for
what becomes of what. Knows LangGraph's operations; how an item is a document stands in `items`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from memsvc_client.client import MemoryClient
from memsvc_client.errors import AlreadyExists, MemsvcError, NotFound
from memsvc_client.events import AskOptions
from memsvc_client.integrations import items
from memsvc_client.integrations.shared import Pending, alive, get_if_there, missing, quoted, recall
from memsvc_client.resources import Document, NewDocument

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        Item,
        ListNamespacesOp,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
    )
except ImportError as error:
    raise missing("langgraph", error) from error

_MOST_HITS: Final = 256  # that one recall can bring
_IDS_IN_FILTER: Final = 80  # so that the filter stays below its 4096 characters
_PAGE: Final = 1000
_SEARCH: Final = AskOptions(max_hops=1)

_Ranked = tuple[float | None, Document]


class MemsvcStore(BaseStore):
    """LangGraph's long-term memory in one bank of a memsvc server.

    `fields`: paths of what is encoded of a value (None: all of it), unless `put` says otherwise.
    `ttl`: the defaults for items that expire. A search with a query waits up to `wait` seconds
    for what this store has written to be encoded. Safe to share between threads. Its methods raise
    MemsvcError.
    """

    supports_ttl = True

    def __init__(
        self,
        client: MemoryClient,
        bank: str,
        *,
        fields: Sequence[str] | None = None,
        ttl: TTLConfig | None = None,
        wait: float = 30.0,
    ) -> None:
        self._client = client
        self._bank = bank
        self._fields = fields
        self._wait = wait
        self._pending = Pending()
        self.ttl_config = ttl

    @property
    def bank(self) -> str:
        """The bank that holds the items."""
        return self._bank

    def setup(self) -> None:
        """Make the bank if it is not there."""
        self._client.ensure_bank(self._bank)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Reads see what was there before; then the puts are made, the last one of each key."""
        results: list[Result] = []
        puts: dict[str, PutOp] = {}
        for op in ops:
            if isinstance(op, PutOp):
                puts[items.document_id(op.namespace, op.key)] = op
                results.append(None)
            else:
                results.append(self._read(op))
        self._put([op for op in puts.values() if op.value is not None])
        for document_id in (one for one, op in puts.items() if op.value is None):
            self._delete(document_id)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """`batch` in a thread of its own, so that the event loop goes on."""
        return await asyncio.to_thread(self.batch, list(ops))

    def _read(self, op: GetOp | SearchOp | ListNamespacesOp) -> Result:
        match op:
            case GetOp():
                return self._get(op)
            case SearchOp():
                return self._search(op)
            case ListNamespacesOp():
                return self._namespaces(op)
        raise ValueError(f"{type(op).__name__} is no operation of a store")

    def _get(self, op: GetOp) -> Item | None:
        document_id = items.document_id(op.namespace, op.key)
        document = get_if_there(self._client, self._bank, document_id)
        if document is None:
            return None
        self._touch(document, op.refresh_ttl)
        return items.to_item(document)

    def _search(self, op: SearchOp) -> list[SearchItem]:
        query = (op.query or "").strip()
        ranked = self._ranked(query, op) if query else ((None, one) for one in self._listed(op))
        wanted = list(islice(ranked, op.offset, op.offset + op.limit)) if op.limit > 0 else []
        for _, document in wanted:
            self._touch(document, op.refresh_ttl)
        return [items.to_search_item(document, score) for score, document in wanted]

    def _ranked(self, query: str, op: SearchOp) -> Iterator[_Ranked]:
        """What is found by the query, best first, then what is not indexed or encoded yet."""
        self._pending.settle(self._client, self._wait)
        rest: Iterable[Document] = self._listed(op)
        wanted = op.offset + op.limit
        if op.filter or wanted > _MOST_HITS:
            rest = list(rest)
            found = self._best_of(query, rest)
        else:
            filter = _indexed(items.within(op.namespace_prefix))
            hits = recall(self._client, self._bank, query, wanted, filter, _SEARCH)
            found = [(hit.score, document) for hit, document in hits]
        yield from found
        seen = {document.id for _, document in found}
        yield from ((None, document) for document in rest if document.id not in seen)

    def _best_of(self, query: str, documents: Sequence[Document]) -> list[_Ranked]:
        """Those of `documents` that can be found, best first: filters of values are not the
        server's, so it is asked about exactly these."""
        named = {one.name: one for one in documents}
        found: list[_Ranked] = []
        for first in range(0, len(documents), _IDS_IN_FILTER):
            some = documents[first : first + _IDS_IN_FILTER]
            ids = ", ".join(quoted(one.id) for one in some)
            options = replace(_SEARCH, k=len(some))
            filter = _indexed(f"id IN ({ids})")
            hits = self._client.recall(self._bank, query, options=options, filter=filter).hits
            found += [(hit.score, named[hit.document]) for hit in hits]
        return sorted(found, key=lambda one: one[0] or 0.0, reverse=True)

    def _listed(self, op: SearchOp) -> Iterator[Document]:
        """The items of a namespace that a filter lets through, oldest first."""
        size = _PAGE if op.filter else min(_PAGE, op.offset + op.limit)
        for listed in self._documents(items.within(op.namespace_prefix), size):
            document: Document | None = listed
            if not items.has_value(listed):
                document = get_if_there(self._client, self._bank, listed.name)
            if document is not None and _lets_through(op.filter, document):
                yield document

    def _documents(self, filter: str, page_size: int = _PAGE) -> Iterator[Document]:
        listed = self._client.list_documents(self._bank, filter=filter, page_size=page_size)
        return (document for document in listed if alive(document))

    def _touch(self, document: Document, refresh: bool) -> None:
        """Let an item live as long again, from now on."""
        ttl = document.metadata.get(items.TTL)
        if refresh and isinstance(ttl, int | float):
            with suppress(NotFound):
                self._client.update_document(
                    self._bank, document.name, expire_time=items.expiry(ttl)
                )

    def _put(self, ops: Sequence[PutOp]) -> None:
        refused = self._add([items.to_document(op, self._fields) for op in ops])
        for document, error in refused:
            if not isinstance(error, AlreadyExists):
                raise error
            self._replace(document)

    def _add(self, documents: Sequence[NewDocument]) -> list[tuple[NewDocument, MemsvcError]]:
        """Returns those that were refused."""
        stored = self._client.ingest(self._bank, documents)
        self._pending.add(stored.operations)
        return [(documents[place], error) for place, error in stored.errors]

    def _replace(self, document: NewDocument) -> None:
        try:
            changed = self._client.update_document(
                self._bank,
                document.document_id,
                text=document.text,
                metadata=document.metadata,
                expire_time=document.expire_time,
            )
        except NotFound:  # deleted meanwhile
            for _, error in self._add([document]):
                raise error from None
        else:
            if changed.operation is not None:
                self._pending.add([changed.operation.name])

    def _delete(self, document_id: str) -> None:
        try:
            self._client.delete_document(self._bank, document_id)
        except NotFound as error:
            if error.reason != "DOCUMENT_NOT_FOUND":
                raise

    def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        conditions = op.match_conditions or ()
        found = {items.namespace_of(one) for one in self._documents(items.within(()))}
        chosen = {
            namespace[: op.max_depth]
            for namespace in found
            if all(items.namespace_matches(namespace, condition) for condition in conditions)
        }
        return sorted(chosen)[op.offset : op.offset + op.limit]


def _indexed(filter: str) -> str:
    return f"{filter} AND metadata.{items.INDEXED} = true"


def _lets_through(filter: Mapping[str, Any] | None, document: Document) -> bool:
    if not filter:
        return True
    value = items.value_of(document)
    return all(items.matches(value.get(key), wanted) for key, wanted in filter.items())
