"""A batch of questions through the decoder, as the engine would serve each (MSA §3), with gradient.

The rows of the batch are given to the network one after another in one row, so that only the
tokens that are taught get logits; attention takes them apart again. Knows tensors and layers.
Legend: B questions, T tokens of a row, S segments, H, G heads, D width, C chunks, N documents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from memsvc_kernels import attend_segments, earlier
from torch import Tensor

from memsvc_router.decoder.attention import LayerCall
from memsvc_router.decoder.config import MsaConfig
from memsvc_router.decoder.passes import EncodePass, causal
from memsvc_router.decoder.state import first_position
from memsvc_router.training.decoder.packing import attend_visible, in_one_precision
from memsvc_router.training.decoder.routes import Routed, choose, document_scores
from memsvc_router.training.decoder.samples import PREFIX, UNTAUGHT, Row
from memsvc_router.training.decoder.sharing import others


@dataclass(frozen=True)
class Asked:
    """Rows of a batch. ids, positions, segment, labels int64 [B, T] (padding: segment of the row's
    end, no label), routed bool [B, T]; wanted int64 [B, S]: the document to be named (-1: none);
    last int64 [B]: the segment that is taught; positive bool [B, N]: for its routing; passage int64
    [N]: of each document, its number in the set; evidence int64 [B, E]: passages that are no
    negatives (-1 pads)."""

    ids: Tensor
    positions: Tensor
    segment: Tensor
    labels: Tensor
    routed: Tensor
    wanted: Tensor
    last: Tensor
    positive: Tensor
    passage: Tensor
    evidence: Tensor


def lay_out(rows: list[Row], top_k: int) -> dict[str, Tensor]:
    """The fields of `Asked` that concern tokens, padded to the longest row."""
    shape = len(rows), max(len(row.ids) for row in rows)
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    segment, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, UNTAUGHT)
    routed = torch.zeros(shape, dtype=torch.bool)
    for at, row in enumerate(rows):
        size, prefix = len(row.ids), row.segments.count(PREFIX)
        ids[at, :size] = torch.tensor(row.ids)
        segment[at] = row.segments[-1]
        segment[at, :size] = torch.tensor(row.segments)
        labels[at, :size] = torch.tensor(row.labels)
        routed[at, :size] = torch.tensor(row.routed)
        first = first_position(top_k)
        positions[at, :prefix] = torch.arange(prefix)
        positions[at, prefix:size] = torch.arange(first, first + size - prefix)
    return {
        "ids": ids,
        "positions": positions,
        "segment": segment,
        "labels": labels,
        "routed": routed,
        "last": segment[:, -1].clone(),
    }


class AskPass:
    """Attention of the batch. `scores` by router layer, once the forward is done: [B, S, N], and
    behind them those of the documents of other ranks."""

    def __init__(
        self, config: MsaConfig, asked: Asked, encoded: EncodePass, document_of_chunk: Tensor
    ) -> None:
        """encoded: a finished pass over the pool's documents; document_of_chunk [C]."""
        self._config, self._asked, self._encoded = config, asked, encoded
        self._document_of_chunk = document_of_chunk
        self.others = others(document_of_chunk, asked.passage)
        self._routed = Routed.of(asked.routed, asked.segment)
        self._local: dict[int, Tensor] = {}
        self.scores: dict[int, Tensor] = {}

    def attend(self, call: LayerCall) -> Tensor:
        """See `Pass.attend`."""
        rows = in_one_precision(_taken_apart(call, len(self._asked.ids)))
        near = self._near(call.window)
        if call.index in self._config.router_layers:
            memory = self._encoded.content[call.index].to(rows.q.dtype)
            given = (rows.q, rows.k, rows.v, memory, self._choice(call), self._asked.segment)
            out = attend_segments(*given, rows.scale, near, rows.softcap).transpose(1, 2)
        else:
            out = causal(rows) if near is None else attend_visible(rows, near)
        return out.flatten(0, 1).unsqueeze(0)

    def _choice(self, call: LayerCall) -> Tensor:
        """Routes a layer: which chunks the tokens of each segment see, bool [B, S, C]."""
        own = self._encoded.routing[call.index]
        scores = document_scores(
            self._config,
            call,
            self._routed,
            torch.cat((own, self.others.keys(own))),
            torch.cat((self._document_of_chunk, self.others.document_of_chunk)),
            len(self._asked.passage) + self.others.documents,
        )
        self.scores[call.index] = scores
        near = scores[:, :, : len(self._asked.passage)]
        chosen = choose(near, self._asked.wanted, self._config.top_k)
        return chosen[:, :, self._document_of_chunk]

    def _near(self, window: int | None) -> Tensor | None:
        """What each token sees of its own row, bool [B, T, T]; the head is seen from afar too.
        None: all earlier tokens."""
        segment = self._asked.segment
        if window is None or window >= segment.shape[1]:
            return None
        if window not in self._local:
            tokens, device = segment.shape[1], segment.device
            head = (segment == PREFIX).unsqueeze(1)
            self._local[window] = earlier(tokens, window, device) | (
                head & earlier(tokens, None, device)
            )
        return self._local[window]


def _taken_apart(call: LayerCall, rows: int) -> LayerCall:
    """A call of one flattened row [1, H, B·T, D] as one of B rows [B, H, T, D]."""
    q, k, v = (x[0].unflatten(1, (rows, -1)).transpose(0, 1) for x in (call.q, call.k, call.v))
    return replace(call, q=q, k=k, v=v)
