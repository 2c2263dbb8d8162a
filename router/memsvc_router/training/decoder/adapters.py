"""What of a decoder is trained: all of it, adapters of low rank (peft), or its routers alone.

Knows names of parameters; no losses, no files.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from memsvc_router.decoder.config import MsaConfig
from memsvc_router.decoder.loading import is_router
from memsvc_router.training.decoder.options import DecoderTraining


def prepare(network: PreTrainedModel, config: MsaConfig, options: DecoderTraining) -> None:
    """Let gradients flow where the options say, and nowhere else.

    Raises ValueError where that would be nowhere: routers alone, of a checkpoint without any.
    """
    routers_only = options.mode == "router" or options.freeze_backbone
    if routers_only and not config.decouple_router:
        raise ValueError(
            "mode router and freeze_backbone train the routers alone, but this checkpoint routes "
            "by its attention's own queries and keys (decouple_router: false); use mode full or "
            "lora"
        )
    network.requires_grad_(options.mode == "full" and not routers_only)
    if options.mode == "lora" and not routers_only:
        _inject(network, options)
    for name, parameter in network.named_parameters():
        if is_router(name):
            parameter.requires_grad_(True)


def groups(network: nn.Module, options: DecoderTraining) -> list[dict[str, Any]]:
    """AdamW's parameter groups: vectors (norms, biases) are not drawn to zero."""
    trained = [p for p in network.parameters() if p.requires_grad]
    tables = [p for p in trained if p.ndim > 1]
    vectors = [p for p in trained if p.ndim < 2]
    rate = options.peak_rate
    found = [
        {"params": tables, "lr": rate, "weight_decay": 0.01},
        {"params": vectors, "lr": rate, "weight_decay": 0.0},
    ]
    return [group for group in found if group["params"]]


def merged(network: nn.Module, name: str) -> Tensor:
    """A tensor of the checkpoint by its stored name, with what its adapter adds.

    Raises KeyError if the network has none of this name.
    """
    parent, _, leaf = name.rpartition(".")
    try:
        owner = network.get_submodule(parent)
        layer = owner if isinstance(owner, LoraLayer) else None
        found = getattr(layer.get_base_layer() if layer else owner, leaf)
    except AttributeError:
        raise KeyError(name) from None
    value: Tensor = found.detach()
    if layer and leaf == "weight":
        for adapter in layer.active_adapters:
            value = value + layer.get_delta_weight(adapter).detach()  # type: ignore[operator]
    return value


def _inject(network: PreTrainedModel, options: DecoderTraining) -> None:
    linears = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and module is not network.get_output_embeddings()
        and not is_router(f"{name}.")
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        inject_adapter_in_model(
            LoraConfig(
                r=options.lora_rank, lora_alpha=2 * options.lora_rank, target_modules=linears
            ),
            network,
        )
