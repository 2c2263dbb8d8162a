"""A model of the hub: fetched without its pickles, found again without a network, else refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.decoder_support import make_published
from tests.hub_support import running_hub

_LOAD = """
import json, sys
from memsvc_router.decoder.loading import load_decoder
for source in sys.argv[1:]:
    try:
        print(json.dumps(["loaded", load_decoder(source).identity.model]))
    except FileNotFoundError as error:
        print(json.dumps(["refused", str(error)]))
"""


def load(*sources: str, **environment: str) -> list[list[str]]:
    """Load in another process: the hub's client reads its settings when it is imported."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
    command = [sys.executable, "-c", _LOAD, *sources]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_hub_id_is_fetched_once_and_then_found_offline(tmp_path: Path) -> None:
    made = make_published(tmp_path)
    (made / "pytorch_model.bin").write_bytes(b"not to be fetched")
    home = str(tmp_path / "home")
    with running_hub(made, "us/tiny") as hub:
        online = load("us/tiny", "us/other", HF_ENDPOINT=hub.address, HF_HOME=home)
        fetched = set(hub.fetched)
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= fetched
    assert "pytorch_model.bin" not in fetched
    offline = load("us/tiny", "us/other", "nowhere", HF_HUB_OFFLINE="1", HF_HOME=home)
    assert online[0] == offline[0] == ["loaded", "msa/qwen3/us/tiny"]
    for verdict, message in (online[1], offline[1]):
        assert verdict == "refused"
        assert "us/other: no such directory, and the hub does not give it" in message
        assert "name the directory" in message
    assert offline[2] == ["refused", "nowhere: no such directory"]
