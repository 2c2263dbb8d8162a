"""Weights in safetensors files: found, checked, read one tensor at a time, digested, written.

Knows names, shapes and bytes; nothing of what a model does with them. No pickle is ever opened.
Files are read, not mapped: one that is overwritten later can neither change nor kill a model that
runs, and tensors that are converted as they load do not count twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

_log = logging.getLogger(__name__)


@dataclass
class StoredTensor:
    """A tensor that still rests in its file. `stored[...]` reads it, from any thread, and keeps
    the digest of what was read."""

    name: str
    path: Path
    shape: tuple[int, ...]
    dtype: str  # as safetensors calls it: F32, BF16, I64, …
    _handle: Any = field(repr=False)
    digest: bytes | None = None

    def __getitem__(self, whole: object) -> Tensor:
        assert whole is ...
        try:
            tensor: Tensor = self._handle.get_tensor(self.name)
        except (SafetensorError, OSError) as error:
            raise _damaged(self.path, f"{self.name} cannot be read ({error})") from error
        digest = hashlib.sha256(f"{self.name} {self.dtype} {list(self.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        self.digest = digest.digest()
        return tensor


class Shards:
    """All tensors of a folder's safetensors files, by name."""

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError for a file that is not there and ValueError for one that is
        damaged or does not fit the index; both name it."""
        self.tensors: dict[str, StoredTensor] = {}
        self.bytes = 0
        located = _locate(folder)
        for path in sorted(set(located.values())):
            self._open(path)
        absent = [name for name, path in located.items() if name and name not in self.tensors]
        if absent:
            raise ValueError(f"{folder / INDEX}: names {listed(absent)}, which no file holds")

    def dtype(self) -> torch.dtype:
        """The precision that most weights rest in. Raises ValueError if none computes in it."""
        sizes: Counter[str] = Counter()
        for one in self.tensors.values():
            if one.dtype[0] != "I" and one.dtype[0] != "U":
                sizes[one.dtype] += torch.Size(one.shape).numel()
        found = sizes.most_common(1)[0][0] if sizes else "none"
        if found not in _DTYPES:
            raise ValueError(
                f"weights rest in {found}; expected one of {sorted(_DTYPES)}: quantised "
                "checkpoints cannot be loaded"
            )
        return _DTYPES[found]

    def digest(self, beside: str) -> str:
        """16 hex digits over every tensor, however they are spread over files, and over `beside`.
        Reads the tensors that were not read yet."""
        digest = hashlib.sha256(beside.encode())
        for _, one in sorted(self.tensors.items()):
            if one.digest is None:
                one[...]
            assert one.digest is not None
            digest.update(one.digest)
        return digest.hexdigest()[:16]

    def _open(self, path: Path) -> None:
        try:
            handle: Any = safe_open(path, framework="pt", backend="pread")
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path}: no such file, but {INDEX} names it; fetch the checkpoint's files again"
            ) from None
        except (SafetensorError, OSError) as error:
            raise _damaged(path, f"it is truncated or no safetensors file ({error})") from error
        self.bytes += path.stat().st_size
        for name in list(handle.keys()):
            if name in self.tensors:
                raise ValueError(f"{name} stands in {self.tensors[name].path.name} and {path.name}")
            part = handle.get_slice(name)
            shape = tuple(part.get_shape())
            self.tensors[name] = StoredTensor(name, path, shape, part.get_dtype(), handle)


def _locate(folder: Path) -> dict[str, Path]:
    """The file of every tensor that the index names; for a single file, the name is empty."""
    _note_pickles(folder)
    if (folder / SINGLE).is_file():
        return {"": folder / SINGLE}
    index = folder / INDEX
    if not index.is_file():
        raise FileNotFoundError(
            f"{folder}: no weights; expected {SINGLE}, or {INDEX} and the files that it names"
        )
    try:
        located = json.loads(index.read_text())["weight_map"]
        files = {str(name): str(file) for name, file in located.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index}: expected a weight_map of names to files ({error!r})") from None
    for file in files.values():
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise ValueError(f"{index}: {file!r} is not the name of a safetensors file beside it")
    return {name: folder / file for name, file in files.items()}


def _note_pickles(folder: Path) -> None:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if not pickles:
        return
    if not any(path.suffix == ".safetensors" for path in folder.iterdir()):
        raise ValueError(
            f"{folder}: its weights are pickles ({listed(pickles)}), which can run code when "
            "opened and so never are; where you trust them, load them with transformers and write "
            "safetensors with save_pretrained"
        )
    _log.warning("ignored in %s, never opened: %s", folder, listed(pickles))


def write_shards(folder: Path, tensors: Iterable[tuple[str, Tensor]], most_bytes: int) -> None:
    """Write tensors in files of at most `most_bytes` (one larger tensor has a file of its own) and
    their index. Takes one file's tensors into memory at a time."""
    parts: list[list[str]] = []
    pending: dict[str, Tensor] = {}
    size = total = 0
    for name, tensor in tensors:
        if pending and size + tensor.nbytes > most_bytes:
            _write_part(folder, pending, parts)
            pending, size = {}, 0
        pending[name] = tensor
        size += tensor.nbytes
        total += tensor.nbytes
    _write_part(folder, pending, parts)
    if len(parts) == 1:
        os.replace(_part(folder, 1), folder / SINGLE)
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(parts, 1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        os.replace(_part(folder, number), folder / file)
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")


def _write_part(folder: Path, pending: dict[str, Tensor], parts: list[list[str]]) -> None:
    parts.append(list(pending))
    save_file(pending, _part(folder, len(parts)), {"format": "pt"})


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05}.tmp"


def listed(names: Iterable[str], most: int = 6) -> str:
    """The first names, and how many there are more."""
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"{path}: {what}; fetch the file again")
