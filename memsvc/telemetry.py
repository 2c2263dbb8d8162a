"""Counters for Prometheus and JSON log lines; neither ever holds a document's or question's text.

Knows method names, codes and durations. Exceptions are logged as their type and the frames they
went through, without their message: SQLAlchemy's and the model's messages can quote the text.
"""

from __future__ import annotations

import contextvars
import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from memsvc.config import split_address

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Metrics:
    """The metrics of one server, in a registry of its own (several can live in one process)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "memsvc_requests", "Calls that ended.", ["method", "code"], registry=self.registry
        )
        self.seconds = Histogram(
            "memsvc_request_seconds",
            "Wall time of a call.",
            ["method"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._in_flight = 0
        Gauge(
            "memsvc_requests_in_flight", "Calls not yet ended.", registry=self.registry
        ).set_function(self.calls_in_flight)

    def watch(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Export what `read` returns as counters `memsvc_NAME_total`, asked anew at each scrape."""
        self.registry.register(_Readings(read))

    def calls_in_flight(self) -> int:
        """How many calls have begun and not ended."""
        return self._in_flight

    def call_began(self) -> None:
        """Count a call in."""
        self._in_flight += 1

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """Count a call out."""
        self._in_flight -= 1
        self.requests.labels(method, code).inc()
        self.seconds.labels(method).observe(seconds)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    @contextmanager
    def serving(self, address: str) -> Iterator[str]:
        """Serve the metrics over HTTP in a thread; gives the bound `HOST:PORT`. Raises OSError."""
        host, port = split_address(address)
        server, thread = start_http_server(port, host, self.registry)
        try:
            yield f"{host}:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Readings(Collector):
    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        for name, value in self._read().items():
            yield CounterMetricFamily(f"memsvc_{name}", name.replace("_", " "), value=value)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, request_id, `extra={"data": …}`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        data = getattr(record, "data", None)
        if isinstance(data, dict):
            line.update(data)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = describe_exception(record.exc_info)
        return json.dumps(line, default=str)


def describe_exception(info: _ExcInfo) -> dict[str, object]:
    """An exception's type and frames, without its message."""
    frames = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(info[2])]
    return {"type": f"{info[0].__module__}.{info[0].__qualname__}", "frames": frames}


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Send every logger's lines as JSON to `stream` (stderr by default)."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These narrate statements, parameters and file names below warnings; nobody asked them to.
    for noisy in ("sqlalchemy", "alembic", "grpc", "transformers", "asyncio", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
