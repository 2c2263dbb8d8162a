"""A real `memsvc serve` in a process of its own, on loopback, for benchmarks and crash rounds.

Knows processes; nothing of calls.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.processes import resident

_READY_LINE = "memsvc ready on "


class ServerProcess:
    """A running server; a context manager that leaves none behind. `log` gets its stderr."""

    def __init__(self, data: Path, log: Path, **settings: str) -> None:
        """Start it, with settings such as MEMSVC_MODEL; `listening` tells when it takes calls."""
        command = [sys.executable, "-m", "memsvc_client.cli", "serve", "--data", str(data)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MEMSVC_")}
        self._log = log
        self._address = ""
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [*command, "--listen", "127.0.0.1:0", "--log-level", "warning"],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment | settings,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def listening(self, timeout: float = 120.0) -> str:
        """The address, once calls are taken. Raises RuntimeError if it ends or takes too long."""
        assert self._process.stdout is not None
        if not self._address and select.select([self._process.stdout], [], [], timeout)[0]:
            line = self._process.stdout.readline().decode()  # "" at its end
            self._address = line.removeprefix(_READY_LINE).strip()
        if not self._address:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the server is not listening; its log ends with:\n{tail}")
        return self._address

    def peak_rss(self) -> int:
        """The most resident memory it had so far, in bytes."""
        return resident("VmHWM", self.pid)

    def stop(self) -> None:
        """End it as an operator would, with SIGTERM. Raises RuntimeError if it fails to."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        self._close()
        if code != 0:
            raise RuntimeError(f"the server ended with {code} after SIGTERM")

    def kill(self) -> None:
        """SIGKILL: nothing it does can prepare for it."""
        self._process.kill()
        self._process.wait()
        self._close()

    def end(self) -> None:
        """Leave no process behind, whatever happened."""
        if self._process.poll() is None:
            self.kill()

    def _close(self) -> None:
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
