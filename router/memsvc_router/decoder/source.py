"""Where a checkpoint is: a directory, or a model of the Hugging Face hub; its config and tokenizer.

Knows files, not weights.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from tokenizers import Tokenizer

from memsvc_router.decoder.prompts import END, REFERENCE_END, START

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
TEMPLATE_TOKENS = (START, END, REFERENCE_END)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find(source: str | Path) -> tuple[Path, str]:
    """The checkpoint's folder and the name that its blocks are known by.

    A hub id is fetched: safetensors and JSON files alone. Raises FileNotFoundError for what is
    neither a directory nor can be fetched.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder, folder.resolve().name
    if not isinstance(source, str) or not _HUB_ID.fullmatch(source):
        raise FileNotFoundError(f"{source}: no such directory")
    try:
        fetched = snapshot_download(
            source, allow_patterns=["*.safetensors", "*.json"], ignore_patterns=["*/*"]
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise FileNotFoundError(
            f"{source}: no such directory, and the hub does not give it "
            f"({str(error).strip().splitlines()[0]}); offline, fetch it elsewhere and name the "
            "directory"
        ) from error
    return Path(fetched), source


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` as it stands. Raises FileNotFoundError or ValueError naming the file."""
    path = _required(folder, CONFIG)
    try:
        body = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(body, dict):
        raise ValueError(f"{path}: expected an object, got {type(body).__name__}")
    return body


def read_tokenizer(folder: Path) -> tuple[Tokenizer, str]:
    """The tokenizer and the digest of its file. Raises as `read_config` does."""
    path = _required(folder, TOKENIZER)
    data = path.read_bytes()
    try:
        tokenizer = Tokenizer.from_str(data.decode())
    except Exception as error:  # tokenizers raises nothing narrower
        raise ValueError(f"{path}: not a tokenizer that can be read ({error})") from error
    return tokenizer, hashlib.sha256(data).hexdigest()[:16]


def missing_tokens(tokenizer: Tokenizer) -> list[str]:
    """Tokens of the template that the tokenizer lacks."""
    return [token for token in TEMPLATE_TOKENS if tokenizer.token_to_id(token) is None]


def highest_id(tokenizer: Tokenizer) -> int:
    """The highest id that the tokenizer may give."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)


def _required(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a checkpoint needs it")
    return path
