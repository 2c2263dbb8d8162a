"""Forwards of a decoder: the prefix once, then new tokens of many questions in one batch.

Knows the network and its passes; nothing of prompts, sampling or banks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memsvc_router.decoder.attention import Pass, attach_hook
from memsvc_router.decoder.config import MsaConfig
from memsvc_router.decoder.passes import PrefixPass, QuestionPass, StepFailed
from memsvc_router.decoder.state import Feed
from memsvc_router.device import device_full

_LOG = logging.getLogger(__name__)
_BATCH_TOKENS = 8192  # of one forward; a longer feed goes alone


class Runner:
    """Runs one network. `prefix` holds the keys and values of the prompt's head, by layer."""

    def __init__(self, network: PreTrainedModel, config: MsaConfig, prefix: Sequence[int]) -> None:
        self._network, self._config = network, config
        self.hook = attach_hook(network)
        run = PrefixPass()
        self._forward(run, prefix, range(len(prefix)), [len(prefix) - 1])
        self.prefix = run.pairs
        shapes = {(pair.shape[0], pair.shape[2]) for both in run.pairs.values() for pair in both}
        if shapes != {(config.groups, config.head_width)}:
            raise ValueError(
                f"{type(network).__name__}: its attention has keys and values of {shapes} (heads, "
                f"width), config.json says {(config.groups, config.head_width)}: this family "
                "cannot be a memory model"
            )

    def run(self, feeds: Sequence[Feed]) -> None:
        """Forward all feeds; one that fails keeps its error, the others do not notice."""
        for batch in _batches(feeds):
            began = time.perf_counter()
            self._try(batch)
            for feed in batch:
                feed.seconds = time.perf_counter() - began

    def _try(self, feeds: Sequence[Feed]) -> None:
        """One forward of all that can go on; where the device has no memory for it, one for each
        half of them."""
        left, full = list(feeds), None
        while left and full is None:
            try:
                return self._run(left)
            except StepFailed as failure:
                failure.feed.error = device_full(failure.__cause__) or failure.__cause__
                left.remove(failure.feed)
            except Exception as error:
                full = device_full(error)
                if full is None:
                    raise
        if full is not None and len(left) == 1:
            left[0].error = full
        elif full is not None:
            _LOG.warning("the device has no memory for %d questions at once: halved", len(left))
            middle = len(left) // 2
            self._try(left[:middle])
            self._try(left[middle:])
        return None

    def _run(self, feeds: Sequence[Feed]) -> None:
        """One forward; nothing is committed unless it went well for all."""
        tokens = [token for feed in feeds for token in feed.tokens]
        positions = [p for feed in feeds for p in feed.question.positions(len(feed.tokens))]
        wanted: list[int] = []
        kept: list[int] = []
        end = 0
        for feed in feeds:
            end += len(feed.tokens)
            rows = range(end - len(feed.tokens), end) if feed.all_tokens else [end - 1]
            wanted += rows
            kept.append(len(rows))
        logits = self._forward(QuestionPass(self._config, feeds), tokens, positions, wanted)
        for feed, own in zip(feeds, logits.split(kept), strict=True):
            feed.commit(own if feed.all_tokens else own[0])

    @torch.inference_mode()
    def _forward(
        self, run: Pass, tokens: Sequence[int], positions: Sequence[int], wanted: Sequence[int]
    ) -> Tensor:
        """Logits fp32 [len(wanted), V] of one row of tokens."""
        device = self._network.device
        call: dict[str, Any] = {
            "input_ids": torch.tensor([list(tokens)], device=device),
            "position_ids": torch.tensor([list(positions)], device=device),
            "logits_to_keep": torch.tensor(list(wanted), device=device),
            "use_cache": False,
        }
        with self.hook.during(run):
            out = self._network(**call)
        logits: Tensor = out.logits[0].float()
        return logits


def _batches(feeds: Sequence[Feed]) -> Iterator[list[Feed]]:
    """Feeds in order, as many at a time as one forward takes."""
    batch: list[Feed] = []
    for feed in feeds:
        if batch and sum(len(f.tokens) for f in [*batch, feed]) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(feed)
    if batch:
        yield batch
