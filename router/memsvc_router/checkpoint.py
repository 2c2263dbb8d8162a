"""Checkpoints of the small memory model: safetensors, `config.json`, `tokenizer.json`. No pickle.

Weights rest in fp16 (half the size). Knows one folder, and how to digest what is in it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from memsvc_router.api import Identity
from memsvc_router.config import MemoryConfig
from memsvc_router.network import MemoryNetwork

DEFAULT_MODEL = Path(__file__).parent / "default_model"
_WEIGHTS, _CONFIG, _TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


def save_checkpoint(network: MemoryNetwork, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a checkpoint that `load_checkpoint` reads; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }
    part = folder / (_WEIGHTS + ".tmp")
    save_file(weights, part)
    part.replace(folder / _WEIGHTS)
    (folder / _CONFIG).write_text(json.dumps(network.config.to_dict(), indent=1) + "\n")
    tokenizer.save(str(folder / _TOKENIZER), pretty=False)


def load_checkpoint(
    folder: Path, dtype: torch.dtype = torch.bfloat16
) -> tuple[MemoryNetwork, Tokenizer, Identity]:
    """Read a checkpoint for inference.

    Raises FileNotFoundError for a missing file and ValueError for a config or weights that do
    not fit, naming the field or tensor.
    """
    for name in (_WEIGHTS, _CONFIG, _TOKENIZER):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: no such file; a checkpoint needs it")
    config = MemoryConfig.from_dict(json.loads((folder / _CONFIG).read_text()))
    network = MemoryNetwork(config)
    missing, unexpected = network.load_state_dict(load_file(folder / _WEIGHTS), strict=False)
    lacking = [name for name in missing if "position_ids" not in name]
    if lacking or unexpected:
        raise ValueError(f"weights do not fit: missing {lacking}, unexpected {unexpected}")
    network.to(dtype).eval()
    tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    identity = Identity(
        model=f"memsvc-small/{folder.name}",
        weights_digest=_digest(folder / _WEIGHTS),
        tokenizer_digest=_digest(folder / _TOKENIZER),
        template=config.template,
        pool_size=config.pool_size,
        dtype=str(dtype).removeprefix("torch."),
        router_layers=config.router_layers,
    )
    return network, tokenizer, identity


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
