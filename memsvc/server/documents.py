# ruff: noqa: N802, ARG002  (the methods' names and arguments are the proto's)
"""DocumentService, but for the stream: puts texts in, reads, changes and removes them.

Knows the engine's document verbs and how large a page may get.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from memsvc_proto.v1 import document_pb2, document_pb2_grpc
from memsvc_storage import Document, DocumentChanges, EtagMismatch

from memsvc.server import batches, checks, convert, names, paging
from memsvc.server.forgetting import forget
from memsvc.server.ingest import ingest
from memsvc.server.services import Services

_UPDATABLE = ("title", "text", "metadata", "event_time", "expire_time")
_Context = grpc.aio.ServicerContext[Any, Any]


class DocumentServicer(document_pb2_grpc.DocumentServiceServicer):
    """Serves `memsvc.v1.DocumentService`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._engine = services.engine

    async def AddDocuments(
        self, request: document_pb2.AddDocumentsRequest, context: _Context
    ) -> document_pb2.AddDocumentsResponse:
        bank = names.parse_bank("parent", request.parent)
        checks.count("documents", len(request.documents), checks.MAX_BATCH_DOCUMENTS)
        idempotency = checks.idempotency("AddDocuments", request)
        items = [
            batches.checked(f"documents[{index}]", document)
            for index, document in enumerate(request.documents)
        ]
        if request.validate_only:
            results = await batches.would_add(self._engine, bank, items)
            return document_pb2.AddDocumentsResponse(results=results)
        added = await batches.add(self._engine, bank, items, idempotency)
        return document_pb2.AddDocumentsResponse(
            results=[batches.result(outcome) for outcome in added.outcomes],
            operation=convert.operation(added.operation),
        )

    async def IngestDocuments(
        self,
        request_iterator: AsyncIterator[document_pb2.IngestDocumentsRequest],
        context: _Context,
    ) -> document_pb2.IngestDocumentsResponse:
        return await ingest(self._engine, request_iterator)

    async def GetDocument(
        self, request: document_pb2.GetDocumentRequest, context: _Context
    ) -> document_pb2.Document:
        bank, document_id = names.parse_document("name", request.name)
        return convert.document(await self._engine.get_document(bank, document_id), True)

    async def ListDocuments(
        self, request: document_pb2.ListDocumentsRequest, context: _Context
    ) -> document_pb2.ListDocumentsResponse:
        bank = names.parse_bank("parent", request.parent)
        limit = checks.page_size(request.page_size)
        predicate = checks.document_filter(request.filter)
        with_text = request.view == document_pb2.DOCUMENT_VIEW_FULL
        binding = ("ListDocuments", bank, request.filter, str(with_text))
        after = self._services.after_key(request.page_token, *binding)
        if with_text:
            page = await paging.by_size(
                lambda step, key: self._engine.list_documents(bank, step, key, True, predicate),
                lambda document: len(document.text.encode()),
                limit,
                after,
            )
        else:
            page = await self._engine.list_documents(bank, limit, after, predicate=predicate)
        return document_pb2.ListDocumentsResponse(
            documents=[convert.document(document, with_text) for document in page.items],
            next_page_token=self._services.tokens.issue(page.next_key, *binding),
        )

    async def UpdateDocument(
        self, request: document_pb2.UpdateDocumentRequest, context: _Context
    ) -> document_pb2.UpdateDocumentResponse:
        bank, document_id = names.parse_document("document.name", request.document.name)
        paths = checks.update_paths(request.update_mask, request.document, _UPDATABLE)
        fields = {path: _field(path, request.document) for path in paths}
        etag = request.document.etag or None
        idempotency = checks.idempotency("UpdateDocument", request)
        if request.validate_only:
            document = await self._unchanged(bank, document_id, etag)
            changed = dataclasses.replace(document, **fields)
            return document_pb2.UpdateDocumentResponse(document=convert.document(changed, False))
        document, operation = await self._engine.update_document(
            bank, document_id, DocumentChanges(**fields), etag, idempotency, request.keep_version
        )
        return document_pb2.UpdateDocumentResponse(
            document=convert.document(document, False),
            operation=convert.operation(operation) if operation else None,
        )

    async def DeleteDocument(
        self, request: document_pb2.DeleteDocumentRequest, context: _Context
    ) -> Empty:
        bank, document_id = names.parse_document("name", request.name)
        idempotency = checks.idempotency("DeleteDocument", request)
        etag = request.etag or None
        if request.validate_only:
            await self._unchanged(bank, document_id, etag)
        else:
            await self._engine.delete_document(bank, document_id, etag, idempotency)
        return Empty()

    async def ListDocumentVersions(
        self, request: document_pb2.ListDocumentVersionsRequest, context: _Context
    ) -> document_pb2.ListDocumentVersionsResponse:
        bank, document_id = names.parse_document("name", request.name)
        limit = checks.page_size(request.page_size)
        binding = ("ListDocumentVersions", bank, document_id)
        page = await paging.by_size(
            lambda step, key: self._engine.list_versions(bank, document_id, step, key),
            lambda version: len(version.text.encode()),
            limit,
            self._services.after_key(request.page_token, *binding),
        )
        return document_pb2.ListDocumentVersionsResponse(
            versions=[convert.version(one) for one in page.items],
            next_page_token=self._services.tokens.issue(page.next_key, *binding),
        )

    async def ForgetDocuments(
        self, request: document_pb2.ForgetDocumentsRequest, context: _Context
    ) -> document_pb2.ForgetDocumentsResponse:
        return await forget(self._services, request)

    async def _unchanged(self, bank: str, document_id: str, etag: str | None) -> Document:
        document = await self._engine.get_document(bank, document_id)
        if etag is not None and etag != document.etag:
            raise EtagMismatch(names.document_name(bank, document_id), etag, document.etag)
        return document


def _field(path: str, document: document_pb2.Document) -> Any:
    """The checked value of one of a document's own fields."""
    if path == "title":
        return checks.text_field("document.title", document.title, checks.MAX_TITLE_CHARACTERS)
    if path == "text":
        return checks.document_text("document.text", document.text)
    if path == "metadata":
        return checks.metadata("document.metadata", document.metadata)
    return checks.time(f"document.{path}", document)
