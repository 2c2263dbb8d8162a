"""Which memory model a name stands for: the one that ships, a directory, or a model of the hub."""

from __future__ import annotations

from pathlib import Path

import torch

from memsvc_router.api import MemoryModel
from memsvc_router.config import MODEL_TYPE as SMALL
from memsvc_router.small import SmallMemoryModel, load_default_model


def load_model(name: str | None) -> MemoryModel:
    """The model that ships with the package (None), a directory's, or a hub id's.

    A decoder runs on the GPU where there is one.

    Raises FileNotFoundError for what is missing and ValueError for what is wrong, naming the file,
    the field or the tensor.
    """
    if name is None:
        return load_default_model()
    from memsvc_router.decoder.source import read_config

    folder = Path(name)
    if folder.is_dir() and read_config(folder).get("model_type") == SMALL:
        return SmallMemoryModel(folder)
    from memsvc_router.decoder.loading import load_decoder
    from memsvc_router.decoder.model import DecoderMemoryModel

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return DecoderMemoryModel(load_decoder(name, device=device))
