"""Checkpoints of the small memory model: safetensors, `config.json`, `tokenizer.json`. No pickle.

Weights rest in fp16, word vectors in int8 with a scale for each. Knows one folder, and how to
digest what is in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from memsvc_router.api import Identity
from memsvc_router.config import MemoryConfig
from memsvc_router.network import MemoryNetwork
from memsvc_router.precision import compute_dtype

DEFAULT_MODEL = Path(__file__).parent / "default_model"
_WEIGHTS, _CONFIG, _TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
_WORDS = "encoder.embeddings.word_embeddings.weight"
_SCALE = _WORDS + ".scale"
# What blocks are made of: the rest may change while banks stay as they are.
_OF_DOCUMENTS = ("encoder.", "router.word_weight.", "memory.")
_OF_CONTENT = (".key.", ".value.", ".attention_norm.")


def as_stored(words: Tensor) -> Tensor:
    """Word vectors [V, E] as they will be once saved and loaded."""
    return _unpacked(*_packed(words))


def save_checkpoint(network: MemoryNetwork, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a checkpoint that `load_checkpoint` reads; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = network.shared_names()
    weights = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in network.state_dict().items()
        if value.is_floating_point() and not name.startswith(shared)
    }
    words = network.state_dict()[_WORDS].detach()
    weights[_WORDS], weights[_SCALE] = _packed(words)
    part = folder / (_WEIGHTS + ".tmp")
    save_file(weights, part)
    part.replace(folder / _WEIGHTS)
    (folder / _CONFIG).write_text(json.dumps(network.config.to_dict(), indent=1) + "\n")
    tokenizer.save(str(folder / _TOKENIZER), pretty=False)


def load_checkpoint(
    folder: Path, dtype: torch.dtype | None = None
) -> tuple[MemoryNetwork, Tokenizer, Identity]:
    """Read a checkpoint for inference, to compute in `dtype` (None: what is fast here).

    Raises FileNotFoundError for a missing file and ValueError for a config or weights that do
    not fit, naming the field or tensor.
    """
    for name in (_WEIGHTS, _CONFIG, _TOKENIZER):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: no such file; a checkpoint needs it")
    config = MemoryConfig.from_dict(json.loads((folder / _CONFIG).read_text()))
    network = MemoryNetwork(config)
    weights = load_file(folder / _WEIGHTS)
    digest = _document_digest(weights)
    if _WORDS in weights and _SCALE in weights:
        weights[_WORDS] = _unpacked(weights[_WORDS], weights.pop(_SCALE))
    missing, unexpected = network.load_state_dict(weights, strict=False)
    shared = network.shared_names()
    lacking = [n for n in missing if "position_ids" not in n and not n.startswith(shared)]
    if lacking or unexpected:
        raise ValueError(f"weights do not fit: missing {lacking}, unexpected {unexpected}")
    network.to(dtype or compute_dtype()).eval()
    tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    identity = Identity(
        model="memsvc-small",
        weights_digest=digest,
        tokenizer_digest=_digest(folder / _TOKENIZER),
        template=config.template,
        pool_size=config.pool_size,
        dtype="float16",  # of blocks; what computed them differs by rounding
        router_layers=config.router_layers,
    )
    return network, tokenizer, identity


def _packed(words: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [V, E] as int8 and a scale fp16 [V, 1] each."""
    scale = (words.float().abs().amax(1, keepdim=True) / 127).clamp_min(1e-4).to(torch.float16)
    return (words.float() / scale.float()).round().clamp(-127, 127).to(torch.int8), scale


def _unpacked(packed: Tensor, scale: Tensor) -> Tensor:
    return packed.float() * scale.float()


def _document_digest(weights: Mapping[str, Tensor]) -> str:
    """Over the weights that blocks are made of (not those that read and ask), by name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        if name.startswith(_OF_DOCUMENTS) and (
            not name.startswith("memory.") or any(part in name for part in _OF_CONTENT)
        ):
            digest.update(name.encode())
            digest.update(weights[name].contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
