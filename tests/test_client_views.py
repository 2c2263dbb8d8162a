"""What people see of a bank: who serves it, and what so much text would cost."""

from __future__ import annotations

from io import StringIO

import pytest
from memsvc_client import wire
from memsvc_client.cli import views
from memsvc_proto.v1 import bank_pb2
from rich.console import Console
from rich.table import Table


def printed(table: Table) -> str:
    shown = StringIO()
    Console(file=shown, width=160).print(table)
    return shown.getvalue()


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("SERVING", "by the loaded model"),
        ("REENCODING_SERVING_PREVIOUS", "by the previous model, until all is encoded anew: 3 of 7"),
        ("REENCODING_UNAVAILABLE", "not until all is encoded anew: 3 of 7"),
        ("SERVING_STATE_UNSPECIFIED", "not known while the model loads"),
    ],
)
def test_a_bank_shows_who_serves_it(state: str, says: str) -> None:
    message = bank_pb2.Bank(
        name="banks/b",
        serving_state=state,
        serving_identity=bank_pb2.Identity(model="old", digest="0" * 16, pool_size=64),
        loaded_identity=bank_pb2.Identity(model="new", digest="1" * 16, pool_size=8),
    )
    if "REENCODING" in state:
        message.reencoding.MergeFrom(bank_pb2.Reencoding(operation="operations/o", total=7, done=3))
    shown = printed(views.bank(wire.bank(message)))
    assert says in shown
    assert f"old ({'0' * 16})" in shown
    assert f"new ({'1' * 16})" in shown


@pytest.mark.parametrize(("seconds", "says"), [(None, "not measured yet"), (1234.5, "1,234 s")])
def test_an_estimate_is_told_in_units(seconds: float | None, says: str) -> None:
    message = bank_pb2.EstimateBankResponse(
        document_count=1000, near_bytes=3 << 30, far_bytes=5 << 20, hop_bytes=2048, k=16
    )
    if seconds is not None:
        message.encode_seconds = seconds
    shown = printed(views.estimate(wire.bank_estimate(message)))
    for part in ("1,000", "3.0 GiB", "5.0 MiB", "2.0 KiB from disk, for 16 documents", says):
        assert part in shown
