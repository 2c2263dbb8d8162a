"""BankService and the rules that all services share, over a real connection."""

from __future__ import annotations

import math
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from memsvc_proto.v1 import bank_pb2, document_pb2

from tests.server_support import BANK, Served, refused, serving, struct


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


async def test_a_bank_is_made_read_listed_changed_and_deleted(server: Served) -> None:
    made = await server.create_bank(
        display_name="Notes", metadata=struct(team="red", size=3, done=True), quota_bytes=1000
    )
    assert made.name == BANK
    assert dict(made.metadata) == {"team": "red", "size": 3, "done": True}
    read = await server.banks.GetBank(bank_pb2.GetBankRequest(name=BANK))
    assert read == made
    listed = await server.banks.ListBanks(bank_pb2.ListBanksRequest())
    assert list(listed.banks) == [made]

    change = bank_pb2.Bank(name=BANK, display_name="Mail", etag=made.etag)
    mask = FieldMask(paths=["display_name", "quota_bytes"])
    request = bank_pb2.UpdateBankRequest(bank=change, update_mask=mask)
    changed = await server.banks.UpdateBank(request)
    assert changed.display_name == "Mail"
    assert not changed.HasField("quota_bytes")
    assert dict(changed.metadata) == dict(made.metadata)
    assert changed.etag != made.etag

    await server.banks.DeleteBank(bank_pb2.DeleteBankRequest(name=BANK, etag=changed.etag))
    gone = await refused(server.banks.GetBank(bank_pb2.GetBankRequest(name=BANK)))
    assert (gone.code, gone.reason) == (grpc.StatusCode.NOT_FOUND, "BANK_NOT_FOUND")


async def test_counters_follow_the_documents(server: Served) -> None:
    await server.create_bank()
    await server.add("The cat sleeps.", "The dog barks.")
    bank = await server.banks.GetBank(bank_pb2.GetBankRequest(name=BANK))
    assert (bank.document_count, bank.ready_count, bank.pending_count) == (2, 2, 0)
    assert bank.text_bytes == len("The cat sleeps.") + len("The dog barks.")
    assert bank.kv_bytes > 0
    assert len(bank.identity_digest) == 16


async def test_without_a_mask_an_update_changes_what_is_set(server: Served) -> None:
    await server.create_bank(display_name="Notes", quota_bytes=5)
    change = bank_pb2.UpdateBankRequest(bank=bank_pb2.Bank(name=BANK, quota_bytes=0))
    changed = await server.banks.UpdateBank(change)
    assert (changed.display_name, changed.quota_bytes) == ("Notes", 0)


async def test_a_bank_is_made_once(server: Served) -> None:
    request = bank_pb2.CreateBankRequest(bank_id="b", request_id=str(uuid.uuid4()))
    first = await server.banks.CreateBank(request)
    assert await server.banks.CreateBank(request) == first
    request.bank.display_name = "another body"
    reused = await refused(server.banks.CreateBank(request))
    assert (reused.code, reused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert reused.fields == ["request_id"]
    taken = await refused(server.banks.CreateBank(bank_pb2.CreateBankRequest(bank_id="b")))
    assert (taken.code, taken.reason) == (grpc.StatusCode.ALREADY_EXISTS, "BANK_EXISTS")


async def test_validate_only_answers_without_doing(server: Served) -> None:
    create = bank_pb2.CreateBankRequest(bank_id="b", validate_only=True)
    assert (await server.banks.CreateBank(create)).name == BANK
    missing = await refused(server.banks.GetBank(bank_pb2.GetBankRequest(name=BANK)))
    assert missing.code == grpc.StatusCode.NOT_FOUND

    await server.create_bank(display_name="Notes")
    taken = await refused(server.banks.CreateBank(create))
    assert taken.reason == "BANK_EXISTS"
    change = bank_pb2.Bank(name=BANK, display_name="Mail")
    update = bank_pb2.UpdateBankRequest(bank=change, validate_only=True)
    assert (await server.banks.UpdateBank(update)).display_name == "Mail"
    await server.banks.DeleteBank(bank_pb2.DeleteBankRequest(name=BANK, validate_only=True))
    kept = await server.banks.GetBank(bank_pb2.GetBankRequest(name=BANK))
    assert kept.display_name == "Notes"


async def test_a_stale_etag_aborts(server: Served) -> None:
    old = await server.create_bank()
    await server.banks.UpdateBank(
        bank_pb2.UpdateBankRequest(bank=bank_pb2.Bank(name=BANK, display_name="new"))
    )
    stale = bank_pb2.Bank(name=BANK, display_name="mine", etag=old.etag)
    for call in (
        server.banks.UpdateBank(bank_pb2.UpdateBankRequest(bank=stale)),
        server.banks.UpdateBank(bank_pb2.UpdateBankRequest(bank=stale, validate_only=True)),
        server.banks.DeleteBank(bank_pb2.DeleteBankRequest(name=BANK, etag=old.etag)),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


_Create = bank_pb2.CreateBankRequest
_FAULTS: list[tuple[bank_pb2.CreateBankRequest, str]] = [
    (_Create(bank_id=""), "bank_id"),
    (_Create(bank_id="Upper"), "bank_id"),
    (_Create(bank_id="-b"), "bank_id"),
    (_Create(bank_id="b" * 64), "bank_id"),
    (_Create(bank_id="b\n"), "bank_id"),
    (_Create(bank_id="b", request_id="no-uuid"), "request_id"),
    (_Create(bank_id="b", bank=bank_pb2.Bank(quota_bytes=-1)), "bank.quota_bytes"),
    (_Create(bank_id="b", bank=bank_pb2.Bank(display_name="x" * 257)), "bank.display_name"),
    (
        _Create(bank_id="b", bank=bank_pb2.Bank(metadata=struct(score=math.nan))),
        "bank.metadata.score",
    ),
    (
        _Create(bank_id="b", bank=bank_pb2.Bank(metadata=struct(deep={"a": 1}))),
        "bank.metadata.deep",
    ),
    (
        _Create(bank_id="b", bank=bank_pb2.Bank(metadata=struct(big="x" * 20_000))),
        "bank.metadata",
    ),
]


async def test_bad_fields_of_a_new_bank_are_named(server: Served) -> None:
    for request, field in _FAULTS:
        refusal = await refused(server.banks.CreateBank(request))
        assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
        assert (refusal.fields, refusal.reason) == ([field], "INVALID_FIELD")


async def test_bad_resource_names_are_refused(server: Served) -> None:
    for name in ("", "b", "banks/", "banks/B", "banks/b/documents/d", "bank/b"):
        for call in (
            server.banks.GetBank(bank_pb2.GetBankRequest(name=name)),
            server.banks.DeleteBank(bank_pb2.DeleteBankRequest(name=name)),
            server.banks.VerifyBank(bank_pb2.VerifyBankRequest(name=name)),
            server.banks.CompactBank(bank_pb2.CompactBankRequest(name=name)),
        ):
            refusal = await refused(call)
            assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
            assert refusal.fields == ["name"]


async def test_unknown_banks_are_not_found(server: Served) -> None:
    for call in (
        server.banks.GetBank(bank_pb2.GetBankRequest(name="banks/none")),
        server.banks.UpdateBank(
            bank_pb2.UpdateBankRequest(bank=bank_pb2.Bank(name="banks/none", display_name="x"))
        ),
        server.banks.DeleteBank(bank_pb2.DeleteBankRequest(name="banks/none")),
        server.banks.VerifyBank(bank_pb2.VerifyBankRequest(name="banks/none")),
        server.banks.CompactBank(bank_pb2.CompactBankRequest(name="banks/none")),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "BANK_NOT_FOUND")


async def test_an_update_of_an_output_field_is_refused(server: Served) -> None:
    await server.create_bank()
    mask = FieldMask(paths=["text_bytes"])
    request = bank_pb2.UpdateBankRequest(bank=bank_pb2.Bank(name=BANK), update_mask=mask)
    refusal = await refused(server.banks.UpdateBank(request))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["update_mask"])


async def test_pages_hold_every_bank_once(server: Served) -> None:
    for index in range(5):
        await server.create_bank(f"b{index}")
    names: list[str] = []
    token = ""
    while True:
        request = bank_pb2.ListBanksRequest(page_size=2, page_token=token)
        page = await server.banks.ListBanks(request)
        assert len(page.banks) <= 2
        names += [bank.name for bank in page.banks]
        token = page.next_page_token
        if not token:
            break
    assert names == [f"banks/b{index}" for index in range(5)]


async def test_negative_page_sizes_are_refused(server: Served) -> None:
    refusal = await refused(server.banks.ListBanks(bank_pb2.ListBanksRequest(page_size=-1)))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_size"])


async def test_foreign_tampered_and_expired_page_tokens_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, token_seconds=-2) as server:
        for index in range(2):
            await server.create_bank(f"b{index}")
        page = await server.banks.ListBanks(bank_pb2.ListBanksRequest(page_size=1))
        expired = page.next_page_token
    async with serving(tmp_path) as server:
        page = await server.banks.ListBanks(bank_pb2.ListBanksRequest(page_size=1))
        good = page.next_page_token
        swapped = ("A" if good[0] != "A" else "B") + good[1:]
        for token in (expired, swapped, good + "A", "rubbish", "ä", "=" * 5000):
            request = bank_pb2.ListBanksRequest(page_token=token)
            refusal = await refused(server.banks.ListBanks(request))
            assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
            assert (refusal.fields, refusal.reason) == (["page_token"], "INVALID_PAGE_TOKEN")
        foreign = document_pb2.ListDocumentsRequest(parent="banks/b0", page_token=good)
        refusal = await refused(server.documents.ListDocuments(foreign))
        assert refusal.fields == ["page_token"]


async def test_page_tokens_outlive_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        for index in range(2):
            await server.create_bank(f"b{index}")
        page = await server.banks.ListBanks(bank_pb2.ListBanksRequest(page_size=1))
    async with serving(tmp_path) as server:
        request = bank_pb2.ListBanksRequest(page_token=page.next_page_token)
        rest = await server.banks.ListBanks(request)
        assert [bank.name for bank in rest.banks] == ["banks/b1"]


async def test_compaction_returns_the_space_of_deleted_documents(server: Served) -> None:
    await server.create_bank()
    await server.add(*[f"Number {index} is a document of some length." for index in range(8)])
    for index in range(6):
        name = f"{BANK}/documents/d{index}"
        await server.documents.DeleteDocument(document_pb2.DeleteDocumentRequest(name=name))
    report = await server.banks.CompactBank(bank_pb2.CompactBankRequest(name=BANK))
    assert report.bytes_after < report.bytes_before
    assert report.document_count == 2
    checked = await server.banks.VerifyBank(bank_pb2.VerifyBankRequest(name=BANK))
    assert (checked.document_count, checked.block_count) == (2, 2)
    assert not checked.corrupt_documents


async def test_a_dead_fraction_is_a_share(server: Served) -> None:
    await server.create_bank()
    for fraction in (-0.1, 1.5, math.nan, math.inf):
        request = bank_pb2.CompactBankRequest(name=BANK, min_dead_fraction=fraction)
        refusal = await refused(server.banks.CompactBank(request))
        assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
        assert refusal.fields == ["min_dead_fraction"]


async def test_verification_names_corrupt_documents(server: Served, tmp_path: Path) -> None:
    await server.create_bank()
    await server.add("The cat sleeps on the mat.")
    (segment,) = tmp_path.rglob("*.safetensors")
    body = bytearray(segment.read_bytes())
    body[-1] ^= 0xFF
    segment.write_bytes(bytes(body))
    report = await server.banks.VerifyBank(bank_pb2.VerifyBankRequest(name=BANK))
    assert list(report.corrupt_documents) == [f"{BANK}/documents/d0"]
