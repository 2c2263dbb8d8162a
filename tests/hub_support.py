"""A model hub on loopback, for one model, that notes which of its files were fetched."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_COMMIT = "0" * 40


class Hub(ThreadingHTTPServer):
    """Serves the files of `folder` as the model `name`."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.name = folder, name
        self.fetched: set[str] = set()

    @property
    def address(self) -> str:
        """What HF_ENDPOINT would say."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    @property
    def hub(self) -> Hub:
        assert isinstance(self.server, Hub)
        return self.server

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        path, hub = urlsplit(self.path).path, self.hub
        file = hub.folder / path.rpartition("/")[2]
        if path.startswith(f"/api/models/{hub.name}/tree/"):
            self._send(json.dumps(self._tree()).encode(), with_body)
        elif path.startswith(f"/api/models/{hub.name}"):
            facts = {"id": hub.name, "sha": _COMMIT, "siblings": self._names()}
            self._send(json.dumps(facts).encode(), with_body)
        elif path.startswith(f"/{hub.name}/resolve/") and file.is_file():
            if with_body:
                hub.fetched.add(file.name)
            self._send(file.read_bytes(), with_body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, body: bytes, with_body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", _COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _names(self) -> list[dict[str, Any]]:
        return [{"rfilename": file.name} for file in sorted(self.hub.folder.iterdir())]

    def _tree(self) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "0" * 40}
            for file in sorted(self.hub.folder.iterdir())
        ]

    def log_message(self, format: str, *args: Any) -> None:
        """Tests stay quiet."""


@contextmanager
def running_hub(folder: Path, name: str) -> Iterator[Hub]:
    """The hub for the length of a `with` block."""
    with Hub(folder, name) as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
