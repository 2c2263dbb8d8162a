"""Losses of a memory model (MSA §5, MODEL.md facts 5-6). Knows tensors only."""

from __future__ import annotations

import torch
from torch import Tensor


def routing_loss(scores: Tensor, positive: Tensor, ignored: Tensor, temperature: float) -> Tensor:
    """L_aux: each positive against the negatives alone; positives do not compete.

    scores fp32 [B, N]; positive, ignored bool [B, N] (ignored documents are no negatives).
    Rows without a positive count nothing. Mean over the positives of all rows.
    """
    logits = scores / temperature
    against = logits.masked_fill(positive | ignored, float("-inf")).logsumexp(1, keepdim=True)
    each = torch.nn.functional.softplus(against - logits)
    total = positive.sum().clamp_min(1)
    return torch.where(positive, each, torch.zeros_like(each)).sum() / total


def span_loss(start: Tensor, end: Tensor, firsts: Tensor, lasts: Tensor) -> Tensor:
    """Minus the log-probability that start and end name any of the answer's spans, per row.

    start, end logits [B, T] (padding at -inf); firsts, lasts int64 [B, S], -1 pads. -> [B],
    zero for rows without a span.
    """
    valid = firsts >= 0
    a = start.log_softmax(1).gather(1, firsts.clamp_min(0))
    b = end.log_softmax(1).gather(1, lasts.clamp_min(0))
    joint = (a + b).masked_fill(~valid, float("-inf"))
    some = valid.any(1)
    safe = torch.where(some.unsqueeze(1), joint, torch.zeros_like(joint))
    return torch.where(some, -safe.logsumexp(1), torch.zeros_like(safe[:, 0]))


def chain_loss(
    found: list[Tensor], others: Tensor, own: Tensor, temperature: float, easiest: float
) -> tuple[Tensor, Tensor]:
    """L_aux of paths that have several passages left to find, each against what is none of them.

    found: scores of each path's passages; others fp32 [B, N]: the best of the corpus, of which
    `own` bool [B, N] are the question's own. The easiest passage takes a share `easiest` of the
    loss (which comes first in a chain is often unknown). Returns losses [B], and bool [B] as
    float: whether one of the passages stands above all others.
    """
    against = (others / temperature).masked_fill(own, float("-inf")).logsumexp(1)
    losses, hits = [], []
    best = others.masked_fill(own, float("-inf")).amax(1)
    for at, scores in enumerate(found):
        each = torch.nn.functional.softplus(against[at] - scores / temperature)
        losses.append(easiest * each.min() + (1 - easiest) * each.mean())
        hits.append((scores.max() > best[at]).float())
    return torch.stack(losses), torch.stack(hits)
