"""The command `memsvc mcp`: how it starts, what it writes where, how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mcp import Client
from memsvc_client.cli import exits

from tests.e2e_support import environment
from tests.mcp_support import NOBODY, arguments, serving_http, started

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def ran(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment(), **env},
    )


def messages(*more: dict[str, Any]) -> str:
    """The handshake and `more`, as lines."""
    begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    return "".join(json.dumps(one) + "\n" for one in (HELLO, begun, *more))


def test_without_the_package_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "mcp.py").write_text("raise ModuleNotFoundError(\"No module named 'mcp'\")\n")
    path = f"{tmp_path}:{environment()['PYTHONPATH']}"
    run = ran(*arguments(NOBODY, "notes"), PYTHONPATH=path)
    assert run.returncode == exits.FAULT
    assert "pip install 'memsvc[mcp]'" in run.stderr
    assert run.stdout == ""


def test_it_loads_neither_torch_nor_the_server() -> None:
    run = ran("-c", "import sys, memsvc_client.mcp.server; print(*sys.modules)")
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "mcp" in loaded
    assert not loaded & {"torch", "transformers", "numpy", "sqlalchemy", "memsvc"}


def test_the_command_line_does_not_load_the_package() -> None:
    run = ran("-c", "import sys, memsvc_client.cli; print(*sys.modules)")
    assert "mcp" not in run.stdout.split()


def test_stdout_is_the_protocols_alone() -> None:
    process = started(NOBODY, "notes")
    recall = {"name": "recall", "arguments": {"question": "q"}}
    asked = messages(
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": recall},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(asked + "this is no message\n")
    process.stdin.flush()
    heard = [json.loads(process.stdout.readline()) for _ in range(3)]
    rest, said = process.communicate(timeout=30)
    answers = heard + [json.loads(line) for line in rest.splitlines()]
    assert all(one["jsonrpc"] == "2.0" for one in answers)
    assert {one["id"] for one in answers if "result" in one} == {1, 2, 3}
    assert process.returncode == exits.OK
    assert f"No memsvc server at {NOBODY}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_stdio(number: signal.Signals) -> None:
    process = started(NOBODY, "notes")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(messages())
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(number)
    assert process.wait(30) == exits.OK  # and stdin is still open
    rest, said = process.communicate()
    assert rest == ""
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_http_under_a_client(number: signal.Signals) -> None:
    with serving_http(NOBODY, "notes") as running:
        async with Client(running.url, mode="legacy") as client:
            await client.list_tools()
            code, said = running.stop(number)
    assert code == exits.OK
    assert "Traceback" not in said
    assert "WARNING" not in said


def test_http_is_loopbacks_unless_told_otherwise() -> None:
    with serving_http(NOBODY, "notes") as running:
        assert urlsplit(running.url).hostname == "127.0.0.1"
        _, said = running.stop()
    assert "WARNING" not in said
    with serving_http(NOBODY, "notes", listen="0.0.0.0:0") as running:
        _, said = running.stop()
    assert "can be reached from other machines" in said


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [("Host", "evil.example", 421), ("Origin", "http://evil.example", 403)],
)
def test_web_pages_of_elsewhere_are_kept_out(header: str, value: str, status: int) -> None:
    with serving_http(NOBODY, "notes") as running:
        address = urlsplit(running.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=30)
        usual = {
            "Host": address.netloc,
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        connection.request("POST", address.path, json.dumps(HELLO), {**usual, header: value})
        assert connection.getresponse().status == status
        connection.close()
        running.stop()


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "127.0.0.1:http"])
def test_an_address_that_is_none(address: str) -> None:
    run = ran(*arguments(NOBODY, "notes", "--http", address))
    assert run.returncode == exits.USAGE
    assert address in run.stderr


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = ran(*arguments(NOBODY, "notes", "--http", str(port)))
    assert run.returncode == exits.USAGE
    assert str(port) in run.stderr
    assert "Traceback" not in run.stderr


def test_a_bank_that_cannot_be() -> None:
    run = ran(*arguments(NOBODY, "no/bank"))
    assert run.returncode == exits.USAGE
    assert run.stdout == ""
    assert "no/bank" in run.stderr
