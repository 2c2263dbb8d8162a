"""Page tokens: opaque, signed, bound to one listing, good for a day.

Knows nothing of what is listed: a token carries the store's next key, an expiry and a digest of
the request it belongs to, so that it cannot be used with another filter, bank or method.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

KEY_FILE = "page-token.key"
_KEY_BYTES = 32
_SIGNATURE_BYTES = 16
_MAX_TOKEN_CHARACTERS = 4096


class PageTokenError(ValueError):
    """A page token that this listing did not hand out, or that has expired."""


class PageTokens:
    """Issues and reads the page tokens of one server."""

    def __init__(self, key: bytes, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._seconds = seconds
        self._clock = clock

    @classmethod
    def open(cls, data: Path, seconds: float) -> PageTokens:
        """Use the key kept in the data directory (made at first), so tokens outlive a restart."""
        path = data / KEY_FILE
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) != _KEY_BYTES:
            key = secrets.token_bytes(_KEY_BYTES)
            _write_private(path, key)
        return cls(key, seconds)

    def issue(self, next_key: str | None, *binding: str) -> str:
        """The token for the next page; "" when there is none."""
        if next_key is None:
            return ""
        expiry = int(self._clock() + self._seconds)
        body = json.dumps([next_key, expiry, _digest(binding)], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._sign(body) + body).decode().rstrip("=")

    def read(self, token: str, *binding: str) -> str | None:
        """The key that a token carries; None for "". Raises PageTokenError."""
        if not token:
            return None
        next_key, expiry, digest = json.loads(self._verified(token))
        if expiry < self._clock():
            raise PageTokenError("the page token has expired; list again from the start")
        if digest != _digest(binding):
            raise PageTokenError("the page token belongs to another request (parent or filter)")
        assert isinstance(next_key, str)
        return next_key

    def _verified(self, token: str) -> bytes:
        try:
            if len(token) > _MAX_TOKEN_CHARACTERS:
                raise ValueError
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise PageTokenError("the page token is not one of this server's") from None
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(body)):
            raise PageTokenError("the page token is not one of this server's")
        return body

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _digest(binding: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(binding).encode()).hexdigest()[:16]


def _write_private(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".tmp")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
