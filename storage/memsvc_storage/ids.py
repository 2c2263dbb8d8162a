"""Names the store makes up: sortable ids and etags. Knows nothing of rows."""

from __future__ import annotations

import secrets
import threading
import time

_RANDOM_BITS = 80
_SORTABLE = threading.Lock()
_last = (0, 0)


def sortable_id() -> str:
    """32 hex digits: milliseconds since 1970, then random bits; always greater than the last."""
    global _last
    with _SORTABLE:
        now = time.time_ns() // 1_000_000
        milliseconds, value = _last
        if now > milliseconds:
            # One bit less than there is room for, so that counting up cannot overflow.
            milliseconds, value = now, secrets.randbits(_RANDOM_BITS - 1)
        else:
            value += 1
        _last = (milliseconds, value)
    return f"{milliseconds:012x}{value:020x}"


def new_etag() -> str:
    """A random name of one version of a resource; says nothing about its content."""
    return secrets.token_hex(8)
