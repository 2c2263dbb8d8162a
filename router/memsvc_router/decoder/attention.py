"""Our attention inside any transformers decoder: registered once, attached to one model.

A model built with `attn_implementation=ATTENTION` calls `_attend` in every layer. What then happens
is up to the *pass* that runs: encode documents, take the prefix, or serve questions (`passes`).
Knows transformers' two interfaces and no model family.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

from memsvc_router.decoder.config import MsaConfig

ATTENTION = "memsvc_msa"
_HOOK = "_memsvc_hook"


@dataclass(frozen=True)
class LayerCall:
    """One layer's call of attention. q [B, H, T, D]; k, v [B, G, T, D], all after RoPE; `inputs`
    [B, T, E] is what the attention module was given (after the layer's norm)."""

    module: nn.Module
    inputs: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    scale: float
    window: int | None
    softcap: float | None

    @property
    def index(self) -> int:
        """The layer's number, from 0."""
        return int(self.module.layer_idx)  # type: ignore[arg-type]


class Pass(Protocol):
    """What attention does during one forward of the model."""

    def attend(self, call: LayerCall) -> Tensor:
        """Attention of one layer: [B, H, T, D] queries -> [B, T, H, D]."""
        ...


class Hook(threading.local):
    """Stands on every attention module of one model: holds the running pass and the input, for each
    thread its own."""

    def __init__(self) -> None:
        self.running: Pass | None = None
        self.inputs: Tensor | None = None

    def see(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward pre-hook: keep the attention module's input for the router."""
        del module
        self.inputs = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]

    @contextmanager
    def during(self, pass_: Pass) -> Iterator[None]:
        """Run one pass."""
        self.running = pass_
        try:
            yield
        finally:
            self.running = self.inputs = None


def attention_modules(network: nn.Module) -> dict[int, nn.Module]:
    """The attention module of every layer, by layer. Raises ValueError if there is none."""
    found = {
        int(module.layer_idx): module  # type: ignore[arg-type]
        for module in network.modules()
        if type(module).__name__.endswith("Attention") and hasattr(module, "layer_idx")
    }
    if not found:
        raise ValueError(
            f"{type(network).__name__} has no attention modules with a layer_idx: it is not a "
            "decoder of the transformers library that goes through its AttentionInterface"
        )
    return found


def attach_routers(network: PreTrainedModel, config: MsaConfig) -> None:
    """Give the router layers their projections (MSA §1), where the checkpoint has its own.

    Their names are those of the published format: `….self_attn.router_{q,k}_proj.0.weight`.
    """
    if not config.decouple_router:
        return
    modules = attention_modules(network)
    like = next(network.parameters())
    hidden = network.config.get_text_config().hidden_size
    for layer in config.router_layers:
        for name, heads in (("q", config.heads), ("k", config.groups)):
            linear = nn.Linear(
                hidden, heads * config.head_width, bias=False, dtype=like.dtype, device=like.device
            )
            modules[layer].add_module(f"router_{name}_proj", nn.Sequential(linear))


def attach_hook(*networks: PreTrainedModel) -> Hook:
    """Let the models' attention go through the passes that run under the returned hook. Models
    that share layers share a hook, and take turns."""
    hook = Hook()
    found = [m for network in networks for m in attention_modules(network).values()]
    for module in dict.fromkeys(found):
        setattr(module, _HOOK, hook)
        module.register_forward_pre_hook(hook.see, with_kwargs=True)
    return hook


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls. See `AttentionInterface`."""
    del attention_mask, dropout  # the pass knows what may be seen; nothing is dropped
    if kwargs.get("s_aux") is not None:
        raise ValueError("attention sinks (s_aux) are not supported")
    hook: Hook | None = getattr(module, _HOOK, None)
    if hook is None or hook.running is None or hook.inputs is None:
        raise RuntimeError(
            f"{ATTENTION} attention runs only inside a pass of memsvc_router.decoder"
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    call = LayerCall(module, hook.inputs, query, key, value, scale, sliding_window, softcap)
    return hook.running.attend(call), None


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """No mask is made: each pass knows what its tokens see."""
    del args, kwargs


AttentionInterface.register(ATTENTION, _attend)
AttentionMaskInterface.register(ATTENTION, _no_mask)
