"""Which floats this machine multiplies fastest. Knows nothing of models.

bf16 is three to four times as fast as fp32 where the processor has instructions for it, and eight
times slower where it has none, as on most laptops (dev/LOG.md, M4).
"""

from __future__ import annotations

import time
from functools import cache

import torch
from torch.nn.functional import linear

_CLEARLY = 1.2  # times as fast: what makes up for fewer digits
_TRIALS = 12  # a busy machine spoils some


@cache
def compute_dtype() -> torch.dtype:
    """What to compute in on this CPU: bf16 if it is clearly faster than fp32, else fp32.

    Measured once in a process, in a few hundredths of a second.
    """
    exact, short = (_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    return torch.bfloat16 if short * _CLEARLY < exact else torch.float32


def _seconds(dtype: torch.dtype) -> float:
    """The best time of one small product, as a layer computes it."""
    states, weight = torch.ones(256, 384, dtype=dtype), torch.ones(384, 384, dtype=dtype)
    times = []
    for _ in range(_TRIALS + 1):  # the first one prepares
        began = time.perf_counter()
        linear(states, weight)
        times.append(time.perf_counter() - began)
    return min(times[1:])
