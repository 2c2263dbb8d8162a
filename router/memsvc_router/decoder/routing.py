"""Routing keys and queries of a decoder's router layers (MSA §1-2). Knows no banks.

Legend: C chunks, M query tokens, H query heads, G key heads, D head width, R = G·D, J rows a token.
"""

from __future__ import annotations

import torch
from memsvc_kernels import collapse_queries
from torch import Tensor, nn
from torch.nn.functional import normalize

from memsvc_router.decoder.attention import LayerCall
from memsvc_router.decoder.config import MsaConfig


def key_states(config: MsaConfig, call: LayerCall) -> Tensor:
    """What is pooled into routing keys: [B, G, T, D]."""
    if not config.decouple_router:
        return call.k
    return _project(call.module.router_k_proj, call.inputs, config.groups)


def finish_keys(config: MsaConfig, pooled: Tensor) -> Tensor:
    """Pooled key states [C, G, D] -> routing keys [C, R] in fp32."""
    keys = pooled.float()
    return (normalize(keys, dim=-1) if config.cosine else keys).flatten(1)


def query_rows(config: MsaConfig, call: LayerCall, tokens: Tensor) -> Tensor:
    """The routing queries of some tokens (indices into a batch of one row): [M, J, R] fp32.

    With the mean over heads a token has one row, the collapsed query; with the best head it has
    one per head, zero outside its group.
    """
    if config.decouple_router:
        states = _project(call.module.router_q_proj, call.inputs[:, tokens], config.heads)
    else:
        states = call.q[:, :, tokens]
    queries = states[0].transpose(0, 1).float()  # [M, H, D]
    if config.head_reduce == "mean":
        rows = collapse_queries(queries, config.groups, config.cosine).unsqueeze(1)
    else:
        if config.cosine:
            queries = normalize(queries, dim=-1)
        share = config.heads // config.groups
        group = torch.arange(config.heads, device=queries.device) // share
        mask = nn.functional.one_hot(group, config.groups).to(queries.dtype)  # [H, G]
        rows = torch.einsum("mhd,hg->mhgd", queries, mask).flatten(2)
    return torch.mul(rows, config.scale)


def _project(router: object, inputs: Tensor, heads: int) -> Tensor:
    assert isinstance(router, nn.Module)
    flat: Tensor = router(inputs)
    return flat.reshape(*flat.shape[:-1], heads, -1).transpose(1, 2)
