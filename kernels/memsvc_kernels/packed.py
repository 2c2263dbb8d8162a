"""Linear layers whose weights lie as this processor's products read them.

A plain product lays them out anew at each call, which takes half the time of one over a question's
few tokens and a quarter of one over a thousand (dev/LOG.md, 2026-11-30). oneDNN does it once, by
the operators that torch's own compiler uses. Knows tensors only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

_LOG = logging.getLogger("memsvc.kernels")
_NEAR = {torch.float32: 1e-4, torch.bfloat16: 3e-2}  # sums in another order; one rounding less


class PackedLinear:
    """Linear layers of the same inputs as one product: [.., I] -> [.., sum of O].

    Holds a copy of their weights: later changes of the layers are not seen. Without gradient.
    """

    def __init__(self, layers: Sequence[nn.Linear], *, plain: bool = False) -> None:
        """`plain`: use torch's own product, which defines what is right, and serves wherever
        oneDNN does not, or comes to something else."""
        weight = torch.cat([layer.weight.detach() for layer in layers])
        self._bias = torch.cat([_bias(layer) for layer in layers])
        self._packed = not plain and weight.device.type == "cpu" and _serves(weight.dtype)
        self._weight = _pack(weight) if self._packed else weight

    def __call__(self, states: Tensor) -> Tensor:
        """The product."""
        if self._packed:
            return _product(states, self._weight, self._bias, "none")
        return linear(states, self._weight, self._bias)

    def gelu(self, states: Tensor) -> Tensor:
        """The product through GELU (by the error function), in one pass where that can be."""
        if self._packed:
            return _product(states, self._weight, self._bias, "gelu")
        return gelu(linear(states, self._weight, self._bias))


def products_with(rows: Tensor) -> Callable[[Tensor], Tensor]:
    """What multiplies with each of some rows [O, I] as linear layers do: [.., I] -> [.., O]."""
    if rows.device.type != "cpu" or not _serves(rows.dtype):
        return lambda states: linear(states, rows)
    packed = _pack(rows)
    return lambda states: _product(states, packed, None, "none")


def _bias(layer: nn.Linear) -> Tensor:
    bias: Tensor | None = layer.bias  # torch's own types do not say that it may be missing
    return layer.weight.detach().new_zeros(layer.out_features) if bias is None else bias.detach()


def _pack(weight: Tensor) -> Tensor:
    with torch.inference_mode():
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    return packed


def _product(states: Tensor, weight: Tensor, bias: Tensor | None, after: str) -> Tensor:
    made: Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, after, [], "none")
    return made


@cache
def _serves(dtype: torch.dtype) -> bool:
    """Does oneDNN come to what torch comes to, in this dtype on this machine?"""
    if dtype not in _NEAR or not torch.backends.mkldnn.is_available():
        return False
    draw = torch.Generator().manual_seed(0)
    states, weight, bias = (
        torch.randn(*shape, generator=draw).to(dtype) for shape in ((3, 5, 48), (40, 48), (40,))
    )
    try:
        with torch.inference_mode():
            ours = [_product(states, _pack(weight), bias, after) for after in ("none", "gelu")]
    except Exception as error:  # whatever it is: plain products serve
        _LOG.warning("weights are not packed: %s; plain torch serves", str(error)[:300])
        return False
    wanted = linear(states, weight, bias)
    close = [
        torch.allclose(mine.float(), right.float(), rtol=_NEAR[dtype], atol=_NEAR[dtype])
        for mine, right in zip(ours, (wanted, gelu(wanted)), strict=True)
    ]
    if not all(close):
        _LOG.warning("weights are not packed: %s products disagree; plain torch serves", dtype)
    return all(close)
