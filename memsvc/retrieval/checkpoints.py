"""Encoders from directories or the Hugging Face hub, with errors that say what is wrong.

Nothing is unpickled and no code of a checkpoint is run. Knows files and transformers; nothing of
what the models are for: callers say which error a bad one is.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from transformers import AutoTokenizer

from memsvc.retrieval.errors import RetrievalError

_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model"]
_UNWANTED = ["onnx/*", "openvino/*"]
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")
_BLOCK = 1 << 20


def find(name: str, error: type[RetrievalError]) -> Path:
    """The folder of a checkpoint; a hub id is fetched, without its pickles. Raises `error`."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
            raise error(f"{name}: has neither a config.json nor a modules.json")
        return folder
    if folder.is_absolute() or name.count("/") != 1 or name.startswith((".", "~", "/")):
        raise error(f"{name}: no such directory")
    try:
        fetched = snapshot_download(name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED)
    except Exception as fault:  # the hub's client raises its own, httpx's and the system's
        first = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        raise error(
            f"{name}: no such directory, and the hub does not give it ({first}); "
            "offline, fetch it elsewhere and name the directory"
        ) from fault
    return Path(fetched)


def digest_of(folder: Path, error: type[RetrievalError]) -> str:
    """16 hex digits over the names and bytes of all files. Raises `error`."""
    total = hashlib.sha256()
    try:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            total.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    total.update(block)
    except OSError as fault:
        raise error(f"{folder}: cannot be read ({fault})") from fault
    return total.hexdigest()[:16]


def load_tokenizer(folder: Path, error: type[RetrievalError]) -> Any:
    """Raises `error` where there is none, or it cannot be read."""
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise error(f"{folder}: has no tokenizer (looked for {', '.join(_TOKENIZERS)})")
    try:
        return AutoTokenizer.from_pretrained(folder)
    except Exception as fault:  # whatever the tokenizer's own class raises
        raise error(f"{folder}: its tokenizer cannot be read ({fault})") from fault


def load(kind: Any, folder: Path, error: type[RetrievalError]) -> Any:
    """A model by one of transformers' auto classes, ready to run. Raises `error`."""
    try:
        return kind.from_pretrained(folder, use_safetensors=True).eval()
    except Exception as fault:  # whatever the model's own class raises
        raise error(f"{folder}: cannot be loaded ({fault})") from fault


def encode(tokenizer: Any, model: Any, most: int, texts: list[str], *pairs: list[str]) -> Any:
    """Texts, or pairs of texts, as one padded batch, cut to what the model can take (`most` tokens
    at the utmost)."""
    # Encoders of the RoBERTa family number positions from their padding id on.
    room = getattr(model.config, "max_position_embeddings", None) or most
    room -= 2 if model.config.model_type in _OFFSET_FAMILIES else 0
    limit = min(most, room, tokenizer.model_max_length)
    return tokenizer(
        texts, *pairs, padding=True, truncation=True, max_length=limit, return_tensors="pt"
    )


_OFFSET_FAMILIES = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
