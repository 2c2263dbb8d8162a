"""How long torch's threads spin after a product is settled before torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_PROGRAM = """
import os, sys
import memsvc.cli_server
print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "10000 False"),
        ({"GOMP_SPINCOUNT": "7"}, "7 False"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "None False"),
    ],
)
def test_a_server_process_spins_briefly_unless_told_otherwise(
    given: dict[str, str], told: str
) -> None:
    settled = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    environment = {name: value for name, value in os.environ.items() if name not in settled}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=environment | given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == told
