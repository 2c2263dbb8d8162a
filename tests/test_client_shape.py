"""The SDK as a package: same verbs in both clients, light to import, exact in what it sends."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memsvc_client import (
    AsyncMemoryClient,
    AsyncSessionHandle,
    InvalidArgument,
    MemoryClient,
    NewDocument,
    SessionHandle,
)
from memsvc_client.names import bank_name, document_name, operation_name, session_name, turn_id
from memsvc_client.wire import MAX_INTEGER, to_scalars, to_struct

from tests.client_support import Record, small_server

SCALARS = (
    st.text()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
)


@pytest.fixture
def server() -> Iterator[tuple[str, Record]]:
    with small_server() as running:
        yield running


def verbs(client: type) -> dict[str, object]:
    return {
        name: value
        for name, value in inspect.getmembers(client, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("blocking", "asynchronous"),
    [(MemoryClient, AsyncMemoryClient), (SessionHandle, AsyncSessionHandle)],
)
def test_both_clients_have_the_same_verbs_and_arguments(blocking: type, asynchronous: type) -> None:
    assert verbs(blocking).keys() == verbs(asynchronous).keys()
    for name in verbs(blocking):
        ours = inspect.signature(getattr(blocking, name)).parameters
        theirs = inspect.signature(getattr(asynchronous, name)).parameters
        assert list(ours) == list(theirs), name
        for argument in ours:
            assert ours[argument].default == theirs[argument].default, (name, argument)
            assert ours[argument].kind == theirs[argument].kind, (name, argument)


def test_every_method_of_the_api_has_a_verb() -> None:
    from memsvc_proto.v1 import (
        admin_pb2,
        bank_pb2,
        document_pb2,
        feedback_pb2,
        memory_pb2,
        operation_pb2,
        session_pb2,
    )

    modules = (
        admin_pb2,
        bank_pb2,
        document_pb2,
        feedback_pb2,
        memory_pb2,
        operation_pb2,
        session_pb2,
    )
    methods = [
        method.name
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    renamed = {"adddocuments": "add", "ingestdocuments": "ingest", "getserverinfo": "serverinfo"}
    known = {name.replace("_", "") for name in verbs(MemoryClient)}
    missing = [one for one in methods if renamed.get(one.lower(), one.lower()) not in known]
    assert missing == []


def test_importing_the_sdk_and_the_cli_loads_nothing_heavy() -> None:
    code = (
        "import sys; import memsvc_client, memsvc_client.cli; "
        "print(sorted({'torch', 'numpy', 'memsvc', 'memsvc_storage', 'memsvc_router', "
        "'transformers', 'sqlalchemy'} & sys.modules.keys()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "[]"


def test_ids_and_names_are_both_understood() -> None:
    assert bank_name("b") == bank_name("banks/b") == "banks/b"
    assert document_name("b", "d") == document_name("banks/b", "banks/b/documents/d")
    assert operation_name("operations/o") == "operations/o"
    assert session_name("b", "s") == session_name("b", "banks/b/sessions/s")
    assert turn_id("b", "t") == turn_id("b", "banks/b/sessions/s/turns/t") == "t"


@pytest.mark.parametrize("bad", ["", "a/b", "banks/", "banks/a/documents/d"])
def test_what_is_no_bank_is_refused_before_anything_is_sent(bad: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        bank_name(bad)
    assert caught.value.field_violations[0].field == "bank"


def test_a_document_of_another_bank_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not in banks/b"):
        document_name("b", "banks/other/documents/d")


@given(st.dictionaries(st.text(), SCALARS))
def test_metadata_comes_back_as_it_was(metadata: dict[str, str | int | float | bool]) -> None:
    back = to_scalars(to_struct(metadata))
    assert back == metadata
    assert {k: type(v) is bool for k, v in back.items()} == {
        k: type(v) is bool for k, v in metadata.items()
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, None, [1], {"a": 1}])
def test_metadata_that_would_change_on_the_way_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        to_struct({"key": value})  # type: ignore[dict-item]
    assert caught.value.field_violations[0].field == "metadata.key"


def test_a_document_arrives_with_all_its_fields(server: tuple[str, Record]) -> None:
    target, record = server
    when = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2)))
    document = NewDocument("text", "title", "id", {"n": 1, "b": True}, when, when)
    with MemoryClient(target) as client:
        client.add("b", document)
    sent = record.requests[0].documents[0]
    assert (sent.text, sent.title, sent.document_id) == ("text", "title", "id")
    assert to_scalars(sent.metadata) == {"n": 1, "b": True}
    assert sent.event_time.ToDatetime(tzinfo=UTC) == sent.expire_time.ToDatetime(tzinfo=UTC) == when


def test_a_time_without_zone_is_refused(server: tuple[str, Record]) -> None:
    target, record = server
    with MemoryClient(target) as client, pytest.raises(InvalidArgument, match="time zone"):
        client.add("b", NewDocument("text", event_time=datetime(2026, 1, 1)))
    assert not record.requests


def test_an_update_names_exactly_what_changes(server: tuple[str, Record]) -> None:
    target, record = server
    with MemoryClient(target) as client:
        client.update_document("b", "d", title="", event_time=None, etag="e1")
        client.update_bank("b", quota_bytes=None)
    document, bank = record.requests
    assert list(document.update_mask.paths) == ["title", "event_time"]
    assert document.document.etag == "e1"
    assert list(bank.update_mask.paths) == ["quota_bytes"]
    assert not bank.bank.HasField("quota_bytes")


def test_the_api_key_goes_with_every_call(server: tuple[str, Record]) -> None:
    target, record = server
    with MemoryClient(target, api_key="k" * 16) as client:
        client.get_bank("b")
        client.health()
        assert client.server_info().state == "LOADING"
    assert [one["authorization"] for one in record.headers] == ["Bearer " + "k" * 16] * 3
