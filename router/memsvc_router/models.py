"""Which memory model a name stands for: the one that ships, a directory, or a model of the hub."""

from __future__ import annotations

import gc
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from memsvc_kernels import out_of_memory, self_check

from memsvc_router.api import Footprint, Identity, MemoryModel
from memsvc_router.config import MODEL_TYPE as SMALL
from memsvc_router.hostmem import host_memory
from memsvc_router.precision import compute_dtype
from memsvc_router.small import SmallMemoryModel, load_default_model

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelFacts:
    """What can be known of a model that is not loaded."""

    identity: Identity
    footprint: Footprint
    top_k: int


def load_model(name: str | None) -> MemoryModel:
    """The model that ships with the package (None), a directory's, or a hub id's.

    A decoder runs on the GPU where there is one with room for it; on a CPU that is slow at bf16, in
    fp32. The kernels are checked on what it runs on.

    Raises FileNotFoundError for what is missing and ValueError for what is wrong, naming the file,
    the field or the tensor.
    """
    if (small := _small(name)) is not None:
        self_check(torch.device("cpu"))
        return small
    assert name is not None
    found = _on_gpu(name) if torch.cuda.is_available() else None
    return found or _decoder(name, _widened(name), "cpu")


def read_facts(name: str | None) -> ModelFacts:
    """What `load_model` would load, without the memory that a decoder's weights take: they are read
    once, for their digest. Raises what `load_model` raises."""
    if (small := _small(name)) is not None:
        return ModelFacts(small.identity, small.footprint, small.top_k)
    assert name is not None
    from memsvc_router.decoder.loading import open_checkpoint
    from memsvc_router.decoder.model import footprint_of
    from memsvc_router.decoder.prompts import Prompts

    found = open_checkpoint(name)
    dtype = found.shards.dtype()
    footprint = footprint_of(found.config, Prompts(found.tokenizer))
    return ModelFacts(found.identity(dtype), footprint, found.config.top_k)


def _on_gpu(name: str) -> MemoryModel | None:
    """A decoder on the GPU; None where that has no memory for it."""
    try:
        return _decoder(name, None, "cuda")
    except Exception as error:
        if not out_of_memory(error):
            raise
        told = str(error).split("\n")[0]
    gc.collect()  # what is on the GPU already
    torch.cuda.empty_cache()
    _log.warning("%s has no room on the GPU, so it runs on the CPU, slowly: %s", name, told)
    return None


def _decoder(name: str, dtype: torch.dtype | None, device: str) -> MemoryModel:
    from memsvc_router.decoder.loading import load_decoder
    from memsvc_router.decoder.model import DecoderMemoryModel

    decoder = load_decoder(name, dtype, device)
    self_check(decoder.network.device)
    return DecoderMemoryModel(decoder)


def _widened(name: str) -> torch.dtype | None:
    """fp32 where this CPU is slow at what a decoder's weights rest in and has room for twice as
    much; None: as they rest."""
    from memsvc_router.decoder.loading import open_checkpoint

    if compute_dtype() != torch.float32:
        return None
    tensors = open_checkpoint(name).shards.tensors.values()
    needed = sum(4 * torch.Size(one.shape).numel() for one in tensors)
    return torch.float32 if needed <= host_memory() // 2 else None


def _small(name: str | None) -> SmallMemoryModel | None:
    """The small model of that name, if it is one."""
    if name is None:
        return load_default_model()
    from memsvc_router.decoder.source import read_config

    folder = Path(name)
    if folder.is_dir() and read_config(folder).get("model_type") == SMALL:
        return SmallMemoryModel(folder)
    return None
