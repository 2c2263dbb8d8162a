# ruff: noqa: N802, ARG002  (the methods' names and arguments are the proto's)
"""BankService: the edges of memory. Knows the engine's bank verbs."""

from __future__ import annotations

import dataclasses
from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from memsvc_proto.v1 import bank_pb2, bank_pb2_grpc
from memsvc_storage import Bank, BankExists, BankNotFound, EtagMismatch

from memsvc.engine import Serving
from memsvc.errors import invalid
from memsvc.server import bank_facts, checks, convert, names
from memsvc.server.services import Services

_UPDATABLE = ("display_name", "metadata", "quota_bytes")
_MAX_TOKENS = 10**15
_Context = grpc.aio.ServicerContext[Any, Any]


class BankServicer(bank_pb2_grpc.BankServiceServicer):
    """Serves `memsvc.v1.BankService`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._engine = services.engine

    async def CreateBank(
        self, request: bank_pb2.CreateBankRequest, context: _Context
    ) -> bank_pb2.Bank:
        name = names.bank_id("bank_id", request.bank_id)
        fields = {path: _field(path, request.bank) for path in _UPDATABLE}
        idempotency = checks.idempotency("CreateBank", request)
        if request.validate_only:
            return await self._would_create(name, fields)
        bank = await self._engine.create_bank(name, **fields, idempotency=idempotency)
        return await self._message(bank)

    async def GetBank(self, request: bank_pb2.GetBankRequest, context: _Context) -> bank_pb2.Bank:
        return await self._message(
            await self._engine.get_bank(names.parse_bank("name", request.name))
        )

    async def ListBanks(
        self, request: bank_pb2.ListBanksRequest, context: _Context
    ) -> bank_pb2.ListBanksResponse:
        limit = checks.page_size(request.page_size)
        after = self._services.after_key(request.page_token, "ListBanks")
        page = await self._engine.list_banks(limit, after)
        messages = []
        for bank in page.items:
            try:
                messages.append(await self._message(bank))
            except BankNotFound:
                continue  # deleted since the page was read
        token = self._services.tokens.issue(page.next_key, "ListBanks")
        return bank_pb2.ListBanksResponse(banks=messages, next_page_token=token)

    async def UpdateBank(
        self, request: bank_pb2.UpdateBankRequest, context: _Context
    ) -> bank_pb2.Bank:
        name = names.parse_bank("bank.name", request.bank.name)
        paths = checks.update_paths(request.update_mask, request.bank, _UPDATABLE)
        changes = {path: _field(path, request.bank) for path in paths}
        etag = request.bank.etag or None
        if request.validate_only:
            bank = await self._unchanged(name, etag)
            return await self._message(dataclasses.replace(bank, **changes))
        return await self._message(await self._engine.update_bank(name, etag=etag, **changes))

    async def DeleteBank(self, request: bank_pb2.DeleteBankRequest, context: _Context) -> Empty:
        name = names.parse_bank("name", request.name)
        if request.validate_only:
            await self._unchanged(name, request.etag or None)
        else:
            await self._engine.delete_bank(name, request.etag or None)
            await self._services.forget_deleted()
        return Empty()

    async def VerifyBank(
        self, request: bank_pb2.VerifyBankRequest, context: _Context
    ) -> bank_pb2.VerifyBankResponse:
        name = names.parse_bank("name", request.name)
        report = await self._engine.verify(name)
        return bank_pb2.VerifyBankResponse(
            document_count=report.documents,
            block_count=report.blocks,
            corrupt_documents=await self._documents(name, report.corrupt),
            missing_documents=await self._documents(name, report.missing),
        )

    async def CompactBank(
        self, request: bank_pb2.CompactBankRequest, context: _Context
    ) -> bank_pb2.CompactBankResponse:
        name = names.parse_bank("name", request.name)
        fraction = checks.fraction("min_dead_fraction", request.min_dead_fraction)
        report = await self._engine.compact(name, fraction)
        return bank_pb2.CompactBankResponse(
            bytes_before=report.bytes_before,
            bytes_after=report.bytes_after,
            segments_before=report.segments_before,
            segments_after=report.segments_after,
            document_count=report.documents,
        )

    async def EstimateBank(
        self, request: bank_pb2.EstimateBankRequest, context: _Context
    ) -> bank_pb2.EstimateBankResponse:
        tokens, documents = _text_size(request)
        like = names.parse_bank("like", request.like) if request.like else None
        k = checks.count("k", request.k, checks.MAX_K) if request.HasField("k") else None
        try:
            model, found = await self._engine.estimate(tokens, documents, like, k)
        except ValueError as error:
            raise invalid("like", str(error)) from None
        return bank_facts.estimated(model, found)

    async def _message(self, bank: Bank) -> bank_pb2.Bank:
        stats = await self._engine.stats(bank.name)
        message = convert.bank(bank, stats, self._services.identity_digest)
        serving = await self._engine.serving(bank)
        bank_facts.add_routing(message, self._engine.routing(bank.name))
        return bank_facts.add_serving(message, serving, self._engine.identity)

    async def _documents(self, bank: str, row_ids: list[int]) -> list[str]:
        if not row_ids:
            return []
        wanted = set(row_ids)
        page = await self._engine.list_documents(
            bank, len(wanted), predicate=lambda document: document.row_id in wanted
        )
        return [names.document_name(bank, document.document_id) for document in page.items]

    async def _unchanged(self, name: str, etag: str | None) -> Bank:
        bank = await self._engine.get_bank(name)
        if etag is not None and etag != bank.etag:
            raise EtagMismatch(names.bank_name(name), etag, bank.etag)
        return bank

    async def _would_create(self, name: str, fields: dict[str, Any]) -> bank_pb2.Bank:
        try:
            await self._engine.get_bank(name)
        except BankNotFound:
            loaded = self._engine.identity
            made = bank_pb2.Bank(
                name=names.bank_name(name),
                display_name=fields["display_name"],
                metadata=convert.struct(fields["metadata"]),
                quota_bytes=fields["quota_bytes"],
                identity_digest=self._services.identity_digest,
            )
            serving = Serving(None if loaded is None else "SERVING", None, None)
            return bank_facts.add_serving(made, serving, loaded)
        raise BankExists(name)


def _text_size(request: bank_pb2.EstimateBankRequest) -> tuple[int, int | None]:
    """The checked tokens and documents of an estimate."""
    tokens = checks.count("tokens", request.tokens, _MAX_TOKENS)
    if not request.HasField("document_count"):
        return tokens, None
    if request.like:
        raise invalid("document_count", "cannot be given together with like")
    return tokens, checks.count("document_count", request.document_count, tokens)


def _field(path: str, bank: bank_pb2.Bank) -> Any:
    """The checked value of one of a bank's own fields."""
    if path == "display_name":
        most = checks.MAX_DISPLAY_NAME_CHARACTERS
        return checks.text_field("bank.display_name", bank.display_name, most)
    if path == "metadata":
        return checks.metadata("bank.metadata", bank.metadata)
    return checks.quota("bank.quota_bytes", bank)
