"""A `memsvc serve` for the length of a `with` block. Knows nothing of what is asked of it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

START_SECONDS = 120.0
STOP_SECONDS = 30.0
_READY = "memsvc ready on "


class ServerStartError(RuntimeError):
    """The server did not start; the message holds the end of its log."""


@contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """Start a server on a free loopback port, yield its `HOST:PORT`, stop it in every case.

    Data and log go below `folder`. SIGTERM and SIGHUP end the block as Ctrl-C does.
    Raises ServerStartError if the server ends, or says nothing for two minutes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    # The demo is the same for everybody: no settings from the user's own environment.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MEMSVC_")}
    command = [str(Path(sys.executable).with_name("memsvc")), "serve"]
    command += ["--data", str(folder / "data"), "--listen", "127.0.0.1:0"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True
        )
    try:
        yield _address(process, log)
    finally:
        _stop(process)
        for number, handler in before.items():
            signal.signal(number, handler)


def _address(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        said = process.stdout.readline() if selector.select(START_SECONDS) else ""
    if not said.startswith(_READY):
        tail = "\n".join(log.read_text().splitlines()[-10:])
        raise ServerStartError(f"memsvc serve did not start; its log ({log}) ends:\n{tail}")
    return said.removeprefix(_READY).strip()


def _stop(process: subprocess.Popen[str]) -> None:
    # A second Ctrl-C while the server drains must not leave it behind.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        signal.signal(signal.SIGINT, interrupt)


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)
