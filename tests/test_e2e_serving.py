"""Waiting for a server that starts: until it answers questions, or will never."""

from __future__ import annotations

from pathlib import Path

import pytest
from memsvc_client import AsyncMemoryClient, DeadlineExceeded, MemoryClient, Unavailable

from tests.e2e_support import serving


async def test_a_server_that_starts_is_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        with MemoryClient(served.target) as client:
            client.wait_serving()
            assert client.health() == "SERVING"
        async with AsyncMemoryClient(served.target) as other:
            await other.wait_serving()
    with MemoryClient(served.target) as client, pytest.raises(DeadlineExceeded):
        client.wait_serving(timeout=0.3)


async def test_a_server_without_a_model_is_not_waited_for_in_vain(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--model", str(tmp_path)) as served:
        with MemoryClient(served.target) as client, pytest.raises(Unavailable, match="model"):
            client.wait_serving()
        async with AsyncMemoryClient(served.target) as other:
            with pytest.raises(Unavailable, match="model"):
                await other.wait_serving()
