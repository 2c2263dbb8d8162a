"""What callers see while a bank comes to another model, and what an estimate answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from memsvc_proto.v1 import bank_pb2, memory_pb2, operation_pb2

from tests.engine_support import PATIENCE, BagModel, Switches
from tests.server_support import BANK, Served, refused, serving

TEXTS = ("The cat sleeps on the mat.", "The dog barks at the door.")


async def _bank(server: Served) -> bank_pb2.Bank:
    bank: bank_pb2.Bank = await server.banks.GetBank(bank_pb2.GetBankRequest(name=BANK))
    return bank


async def test_a_bank_tells_what_made_its_blocks(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        empty = await server.create_bank()
        assert empty.serving_state == bank_pb2.Bank.SERVING
        assert not empty.HasField("serving_identity")
        assert empty.loaded_identity.model == "bag"
        await server.add(*TEXTS)
        bank = await _bank(server)
        assert bank.serving_identity == bank.loaded_identity
        told = bank.serving_identity
        assert (told.digest, told.pool_size) == (bank.identity_digest, 64)
        assert (told.template, list(told.router_layers)) == ("{title} {text}", [0, 1])
        assert not bank.HasField("reencoding")
        (listed,) = (await server.banks.ListBanks(bank_pb2.ListBanksRequest())).banks
        assert listed == bank
        request = bank_pb2.CreateBankRequest(bank_id="c", validate_only=True)
        would = await server.banks.CreateBank(request)
        assert (would.serving_state, would.loaded_identity) == (bank.serving_state, told)


async def test_questions_to_a_closed_bank_say_how_far_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.create_bank()
        await server.add(*TEXTS)
    switches = Switches(broken=True)
    async with serving(tmp_path, BagModel(switches, pool=8)) as server:
        bank = await _bank(server)
        assert bank.serving_state == bank_pb2.Bank.REENCODING_UNAVAILABLE
        assert (bank.reencoding.total, bank.reencoding.done) == (2, 0)
        assert bank.loaded_identity.pool_size == 8
        for call in (
            server.memory.Recall(memory_pb2.RecallRequest(bank=BANK, question="cat")),
            server.memory.Ask(memory_pb2.AskRequest(bank=BANK, question="cat")),
            server.memory.BuildContext(
                memory_pb2.BuildContextRequest(bank=BANK, query="cat", max_tokens=9)
            ),
        ):
            refusal = await refused(call)
            assert refusal.code == grpc.StatusCode.FAILED_PRECONDITION
            assert refusal.reason == "BANK_REENCODING"
            facts = dict(refusal.detail(error_details_pb2.ErrorInfo).metadata)
            operation = bank.reencoding.operation
            expected = {"operation": operation, "done": "0", "total": "2", "retryable": "true"}
            assert facts == expected
            assert operation in refusal.message
            assert refusal.detail(error_details_pb2.RetryInfo).retry_delay.seconds > 0
        switches.broken = False
        await server.done(operation_pb2.Operation(name=bank.reencoding.operation))
        found = await server.memory.Recall(memory_pb2.RecallRequest(bank=BANK, question="cat"))
        assert found.hits[0].title == ""
        bank = await _bank(server)
        assert bank.serving_identity == bank.loaded_identity


async def test_while_the_model_loads_nobody_knows_who_serves(tmp_path: Path) -> None:
    loading = asyncio.Event()
    loop = asyncio.get_running_loop()

    def load() -> BagModel:
        asyncio.run_coroutine_threadsafe(loading.wait(), loop).result(PATIENCE)
        return BagModel()

    async with serving(tmp_path, load, ready=False) as server:
        bank = await server.create_bank()
        assert bank.serving_state == bank_pb2.Bank.SERVING_STATE_UNSPECIFIED
        assert not bank.HasField("loaded_identity")
        request = bank_pb2.EstimateBankRequest(tokens=10)
        refusal = await refused(server.banks.EstimateBank(request))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
        loading.set()
        await server.engine.wait_ready(PATIENCE)
        assert (await _bank(server)).serving_state == bank_pb2.Bank.SERVING


async def test_an_estimate_counts_what_the_model_says(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        one = await server.banks.EstimateBank(bank_pb2.EstimateBankRequest(tokens=64_000_000))
        assert (one.document_count, one.k) == (1, 16)
        assert one.chunk_count == pytest.approx(1_000_000, rel=1e-3)
        footprint = BagModel().footprint
        assert one.near_bytes == one.chunk_count * footprint.near_chunk_bytes
        assert one.far_bytes == one.chunk_count * footprint.far_chunk_bytes
        assert not one.HasField("encode_seconds")
        assert one.identity.digest == server.engine.identity.digest  # type: ignore[union-attr]
        many = bank_pb2.EstimateBankRequest(tokens=1_000_000, document_count=1_000_000, k=5)
        short = await server.banks.EstimateBank(many)
        assert (short.chunk_count, short.document_count, short.k) == (1_000_000, 1_000_000, 5)
        assert short.hop_bytes == 5 * footprint.content_chunk_bytes
        await server.create_bank()
        await server.add(*TEXTS)
        like = await server.banks.EstimateBank(bank_pb2.EstimateBankRequest(tokens=28, like=BANK))
        assert (like.document_count, like.chunk_count) == (4, 4)
        assert like.encode_seconds > 0


async def test_estimates_of_nothing_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.create_bank()
        ask = bank_pb2.EstimateBankRequest
        for request, field in (
            (ask(), "tokens"),
            (ask(tokens=-1), "tokens"),
            (ask(tokens=10**15 + 1), "tokens"),
            (ask(tokens=5, document_count=6), "document_count"),
            (ask(tokens=5, document_count=0), "document_count"),
            (ask(tokens=5, document_count=1, like=BANK), "document_count"),
            (ask(tokens=5, k=0), "k"),
            (ask(tokens=5, like="b"), "like"),
            (ask(tokens=5, like=BANK), "like"),
        ):
            refusal = await refused(server.banks.EstimateBank(request))
            assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", [field])
        missing = await refused(server.banks.EstimateBank(ask(tokens=5, like="banks/none")))
        assert missing.reason == "BANK_NOT_FOUND"
