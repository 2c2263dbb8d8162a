"""The verbs of BankService as calls. Defaults are the clients' business."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from memsvc_proto.v1 import bank_pb2

from memsvc_client import wire
from memsvc_client.call import Call, Page, make_call, new_uuid
from memsvc_client.names import bank_name
from memsvc_client.resources import (
    UNSET,
    Bank,
    BankEstimate,
    CompactReport,
    Scalar,
    Unset,
    VerifyReport,
)


def create_bank(
    bank: str,
    display_name: str,
    metadata: Mapping[str, Scalar] | None,
    quota_bytes: int | None,
    request_id: str | None,
    validate_only: bool,
) -> Call[Bank]:
    message = bank_pb2.Bank(display_name=display_name, metadata=wire.to_struct(metadata or {}))
    if quota_bytes is not None:
        message.quota_bytes = quota_bytes
    request = bank_pb2.CreateBankRequest(
        bank_id=bank.removeprefix("banks/"),
        bank=message,
        request_id=request_id or new_uuid(),
        validate_only=validate_only,
    )
    return make_call("BankService/CreateBank", request, bank_pb2.Bank, wire.bank)


def get_bank(bank: str) -> Call[Bank]:
    request = bank_pb2.GetBankRequest(name=bank_name(bank))
    return make_call("BankService/GetBank", request, bank_pb2.Bank, wire.bank)


def list_banks(page_size: int, page_token: str) -> Call[Page[Bank]]:
    def convert(message: bank_pb2.ListBanksResponse) -> Page[Bank]:
        return Page(tuple(wire.bank(one) for one in message.banks), message.next_page_token)

    request = bank_pb2.ListBanksRequest(page_size=page_size, page_token=page_token)
    return make_call("BankService/ListBanks", request, bank_pb2.ListBanksResponse, convert)


def update_bank(
    bank: str,
    display_name: str | Unset,
    metadata: Mapping[str, Scalar] | Unset,
    quota_bytes: int | Unset | None,
    etag: str,
    validate_only: bool,
) -> Call[Bank]:
    message = bank_pb2.Bank(name=bank_name(bank), etag=etag)
    mask = FieldMask()
    if display_name is not UNSET:
        message.display_name = display_name
        mask.paths.append("display_name")
    if metadata is not UNSET:
        message.metadata.CopyFrom(wire.to_struct(metadata))
        mask.paths.append("metadata")
    if quota_bytes is not UNSET:
        mask.paths.append("quota_bytes")
        if quota_bytes is not None:
            message.quota_bytes = quota_bytes
    request = bank_pb2.UpdateBankRequest(
        bank=message, update_mask=mask, validate_only=validate_only
    )
    return make_call("BankService/UpdateBank", request, bank_pb2.Bank, wire.bank)


def delete_bank(bank: str, etag: str, validate_only: bool) -> Call[None]:
    request = bank_pb2.DeleteBankRequest(
        name=bank_name(bank), etag=etag, validate_only=validate_only
    )
    return make_call("BankService/DeleteBank", request, Empty, lambda _: None)


def verify_bank(bank: str) -> Call[VerifyReport]:
    def convert(message: bank_pb2.VerifyBankResponse) -> VerifyReport:
        return VerifyReport(
            message.document_count,
            message.block_count,
            tuple(message.corrupt_documents),
            tuple(message.missing_documents),
        )

    request = bank_pb2.VerifyBankRequest(name=bank_name(bank))
    return make_call("BankService/VerifyBank", request, bank_pb2.VerifyBankResponse, convert)


def compact_bank(bank: str, min_dead_fraction: float) -> Call[CompactReport]:
    def convert(message: bank_pb2.CompactBankResponse) -> CompactReport:
        return CompactReport(
            message.bytes_before,
            message.bytes_after,
            message.segments_before,
            message.segments_after,
            message.document_count,
        )

    request = bank_pb2.CompactBankRequest(name=bank_name(bank), min_dead_fraction=min_dead_fraction)
    return make_call("BankService/CompactBank", request, bank_pb2.CompactBankResponse, convert)


def estimate_bank(
    tokens: int, document_count: int | None, like: str | None, k: int | None
) -> Call[BankEstimate]:
    request = bank_pb2.EstimateBankRequest(
        tokens=tokens,
        document_count=document_count,
        like=None if like is None else bank_name(like),
        k=k,
    )
    response = bank_pb2.EstimateBankResponse
    return make_call("BankService/EstimateBank", request, response, wire.bank_estimate)
