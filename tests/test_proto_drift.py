"""The committed Python of the wire contract is what the generator makes of the .proto files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMITTED = ROOT / "proto" / "memsvc_proto" / "v1"


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    command = [sys.executable, str(ROOT / "scripts" / "generate-proto"), str(tmp_path)]
    subprocess.run(command, check=True, timeout=120)
    made = tmp_path / "memsvc_proto" / "v1"

    def contents(folder: Path) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(folder.glob("*.py*"))}

    assert contents(made) == contents(COMMITTED), "run scripts/generate-proto and commit"


def test_the_contract_can_grow() -> None:
    """Enums begin with an unspecified zero, and lists have page tokens: AIP-126 and AIP-158."""
    from memsvc_proto.v1 import (
        admin_pb2,
        bank_pb2,
        document_pb2,
        feedback_pb2,
        memory_pb2,
        operation_pb2,
    )

    for module in (admin_pb2, bank_pb2, document_pb2, feedback_pb2, memory_pb2, operation_pb2):
        file = module.DESCRIPTOR
        nested = [one for m in file.message_types_by_name.values() for one in m.enum_types]
        for enum in [*file.enum_types_by_name.values(), *nested]:
            assert enum.values_by_number[0].name.endswith("_UNSPECIFIED"), enum.full_name
        for name, message in file.message_types_by_name.items():
            if name.startswith("List") and name.endswith("Request"):
                assert {"page_size", "page_token"} <= set(message.fields_by_name), name
