"""Cross-encoders by name: question and text are read together and scored by one logit.

Knows models; nothing of indexes or banks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification

from memsvc.retrieval.checkpoints import digest_of, encode, find, load, load_tokenizer
from memsvc.retrieval.errors import RerankerError

_BATCH = 16
_MAX_TOKENS = 512


class Reranker:
    """A sequence classifier with one logit, from a directory or the hub."""

    def __init__(self, name: str) -> None:
        """Raises RerankerError."""
        folder = find(name, RerankerError)
        self.name, self.digest = name, digest_of(folder, RerankerError)
        self._tokenizer = load_tokenizer(folder, RerankerError)
        self._model = load(AutoModelForSequenceClassification, folder, RerankerError)
        labels = self._model.config.num_labels
        if labels != 1:
            raise RerankerError(
                f"{name}: a reranker scores by one logit, this classifier has {labels}"
            )

    @torch.inference_mode()
    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """How well each text answers the query: [n] logits, higher is better."""
        out = np.zeros(len(texts), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for at in range(0, len(order), _BATCH):
            some = order[at : at + _BATCH]
            pairs = [query] * len(some), [texts[i] for i in some]
            batch = encode(self._tokenizer, self._model, _MAX_TOKENS, *pairs)
            out[some] = self._model(**batch).logits[:, 0].float().numpy()
        return out
