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
