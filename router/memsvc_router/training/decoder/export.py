"""Writes a trained decoder in the format it came in (MSA §6): same config, tokenizer and names.

Knows files and names; no training.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import torch
from torch import Tensor, nn

from memsvc_router.decoder.initialise import COPIED, SHARD_BYTES
from memsvc_router.decoder.loading import UNUSED, Checkpoint
from memsvc_router.decoder.shards import listed, write_shards
from memsvc_router.decoder.source import CONFIG, TOKENIZER
from memsvc_router.training.decoder.adapters import merged

_FILES = (CONFIG, TOKENIZER, *COPIED)


def require_names(base: Checkpoint, network: nn.Module) -> None:
    """Raises ValueError if some weights cannot be written back under the names they rest under."""
    lost = []
    for name in _trained(base):
        try:
            merged(network, name)
        except KeyError:
            lost.append(name)
    if lost:
        raise ValueError(
            f"{base.folder}: {listed(lost)} are renamed or merged as transformers loads a "
            f"{base.backbone.model_type}, and could not be written back: this family runs, but "
            "cannot be trained"
        )


def export_checkpoint(base: Checkpoint, network: nn.Module, out: Path, dtype: torch.dtype) -> None:
    """Write `network`, adapters merged, to the directory `out`, which appears whole or stays as it
    was. Raises OSError for a full disk."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    old = part.with_name(f"{part.name}-old")
    try:
        write_shards(part, _weights(base, network, dtype), SHARD_BYTES)
        for name in _FILES:
            if (base.folder / name).is_file():
                shutil.copyfile(base.folder / name, part / name)
        part.chmod(0o755)  # mkdtemp keeps others out
        if out.exists():
            out.replace(old)
        part.replace(out)
    finally:
        if old.exists() and not out.exists():
            old.replace(out)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _trained(base: Checkpoint) -> list[str]:
    return sorted(name for name in base.shards.tensors if name not in UNUSED)


def _weights(
    base: Checkpoint, network: nn.Module, dtype: torch.dtype
) -> Iterator[tuple[str, Tensor]]:
    for name in _trained(base):
        yield name, merged(network, name).to("cpu", dtype).contiguous()
    for name in set(base.shards.tensors) & set(UNUSED):
        yield name, base.shards.tensors[name][...]
