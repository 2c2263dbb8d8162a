"""What attention does in one forward: encode documents, take the prefix's KV, serve questions.

Knows layers and tensors; a bank is whatever `MemoryView` a question brings.
Legend: B batch, T tokens, H query heads, G key heads, D head width, C chunks, R routing width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from memsvc_kernels import attend_causal, attend_masked, attend_memory, chunk_mean
from torch import Tensor

from memsvc_router.api import RouteRule
from memsvc_router.decoder.attention import LayerCall
from memsvc_router.decoder.caches import Pair
from memsvc_router.decoder.config import MsaConfig
from memsvc_router.decoder.routing import finish_keys, key_states, query_rows
from memsvc_router.decoder.state import Feed


class StepFailed(Exception):  # noqa: N818
    """One question of a batch cannot go on; the cause is the exception it came from."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self.feed = feed


def causal(call: LayerCall) -> Tensor:
    """Plain causal attention of a right-padded batch: [B, T, H, D]."""
    out = attend_causal(call.q, call.k, call.v, call.scale, call.softcap, call.window)
    return out.transpose(1, 2)


def seen_by_all(mask: Tensor) -> Tensor | None:
    """What attention takes for a padded batch of which every token sees all of its row: bool
    [B, 1, 1, T], or None where nothing is padded. mask bool [B, T]: real tokens."""
    return None if bool(mask.all()) else mask[:, None, None]


class WholePass:
    """Every token sees every other of its row: an encoder reading a padded batch."""

    def __init__(self, mask: Tensor) -> None:
        """mask bool [B, T]: real tokens."""
        self._seen = seen_by_all(mask)

    def attend(self, call: LayerCall) -> Tensor:
        """See `Pass.attend`."""
        return attend_masked(call.q, call.k, call.v, self._seen, call.scale).transpose(1, 2)


class EncodePass:
    """Documents of a padded batch, each alone, pooled in the router layers (MSA §1).

    `content` [C, 2, G, D] and `routing` [C, R] by layer, once the forward is done.
    """

    def __init__(self, config: MsaConfig, mask: Tensor, chunk_of_token: Tensor, chunks: int):
        """mask bool [B, T]; chunk_of_token covers the tokens in it."""
        self._config, self._mask = config, mask
        self._chunk_of_token, self._chunks = chunk_of_token, chunks
        self.content: dict[int, Tensor] = {}
        self.routing: dict[int, Tensor] = {}

    def attend(self, call: LayerCall) -> Tensor:
        """See `Pass.attend`."""
        self.keep(call)
        return causal(call)

    def keep(self, call: LayerCall) -> None:
        """Pool what a router layer keeps."""
        if call.index not in self._config.router_layers:
            return
        pooled = torch.stack([self._pool(call.k), self._pool(call.v)], dim=1)
        self.content[call.index] = pooled.to(call.k.dtype)
        keys = self._pool(key_states(self._config, call))
        self.routing[call.index] = finish_keys(self._config, keys).to(call.k.dtype)

    def _pool(self, states: Tensor) -> Tensor:
        """[B, G, T, D] -> [C, G, D] in fp32."""
        return chunk_mean(states.transpose(1, 2)[self._mask], self._chunk_of_token, self._chunks)


class PrefixPass:
    """The prefix alone: keeps keys and values [G, P, D] of every layer."""

    def __init__(self) -> None:
        self.pairs: dict[int, Pair] = {}

    def attend(self, call: LayerCall) -> Tensor:
        """See `Pass.attend`."""
        self.pairs[call.index] = (call.k[0].clone(), call.v[0].clone())
        return causal(call)


class QuestionPass:
    """New tokens of many questions, one after another in one row (MSA §3).

    Each sees its own memory, prefix and earlier tokens. Nothing of a question's state is final
    until its feed is committed, so that a forward can be done again without one that failed.
    """

    def __init__(self, config: MsaConfig, feeds: Sequence[Feed]) -> None:
        self._config, self._feeds = config, feeds
        self._rule = RouteRule(
            "mean" if config.query_reduce == "mean" else "max", config.chunk_reduce
        )

    def attend(self, call: LayerCall) -> Tensor:
        """See `Pass.attend`."""
        out = torch.empty_like(call.q[0])
        at = 0
        for feed in self._feeds:
            here = slice(at, at + len(feed.tokens))
            if call.index in self._config.router_layers and feed.routed is not None:
                try:
                    self._route(call, feed, feed.routed + at)
                except Exception as error:
                    raise StepFailed(feed) from error
            out[:, here] = self._attend(call, feed, here)
            at = here.stop
        return out.transpose(0, 1).unsqueeze(0)

    def _attend(self, call: LayerCall, feed: Feed, here: slice) -> Tensor:
        known, new = feed.question.length, len(feed.tokens)
        cache = feed.question.caches[call.index]
        cache.write(known, call.k[0, :, here], call.v[0, :, here])
        keys, values = cache.seen(known + new)
        rest = (cache.before, call.scale, call.softcap, call.window)
        return attend_memory(call.q[0, :, here], keys, values, *rest)

    def _route(self, call: LayerCall, feed: Feed, tokens: Tensor) -> None:
        """Choose documents for all that was asked and read so far; lay out their memory."""
        question, layer = feed.question, call.index
        ordinal = self._config.router_layers.index(layer)
        rows = query_rows(self._config, call, tokens).cpu().numpy()
        if self._config.query_reduce == "last":
            rows = rows[-1:]
        elif layer in question.queries:
            rows = np.concatenate([question.queries[layer], rows])
        routes = question.view.route_layer(ordinal, rows, question.k, self._rule)
        feed.queries[layer], feed.routes[layer] = rows, routes
        handles = sorted(int(h) for h in routes.documents[0] if h >= 0)
        if ordinal + 1 < len(self._config.router_layers):
            question.fetch(ordinal + 1, handles, like=call.k)
        keys, values = question.content(ordinal, handles, like=call.k)
        question.caches[layer].remember(keys, values)
