"""What the examples share: the address of a server, its readiness, and a bank of one's own.

Knows the SDK, no example.
"""

from __future__ import annotations

import argparse

from memsvc_client import MemoryClient


def parser(description: str | None, bank: str) -> argparse.ArgumentParser:
    """Options that every example has."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--server", default="127.0.0.1:7600", help="where `memsvc serve` listens")
    made.add_argument("--bank", default=bank, help="where the memories are kept")
    return made


def opened(client: MemoryClient, bank: str) -> None:
    """Wait for the model, and make the bank if it is not there.

    Raises MemsvcError where there is no server, or its model does not load.
    """
    client.wait_serving()
    client.ensure_bank(bank)
