"""Loads a decoder of the transformers library as a memory model's network: any family, plain or in
the published format (MSA §6), one tensor at a time.

Knows transformers' loader, which renames, converts and ties what its families need; no banks.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as noise

from memsvc_router.api import Identity
from memsvc_router.decoder.attention import ATTENTION, attach_routers, attention_modules
from memsvc_router.decoder.config import MODEL_TYPE, MsaConfig, backbone_config, parse, plain
from memsvc_router.decoder.shards import Shards, StoredTensor, listed
from memsvc_router.decoder.source import (
    CONFIG,
    TOKENIZER,
    find,
    highest_id,
    missing_tokens,
    read_config,
    read_tokenizer,
)

UNUSED = ("temperature",)  # a scalar of the published format that only training wrote
_ROUTER = (".router_q_proj.", ".router_k_proj.")

_log = logging.getLogger(__name__)


@dataclass
class Decoder:
    """A loaded checkpoint. `routers_missing`: it is a plain one, which routes by its attention's
    own queries and keys."""

    network: PreTrainedModel
    config: MsaConfig
    tokenizer: Tokenizer
    identity: Identity
    routers_missing: bool


@dataclass
class Checkpoint:
    """A checkpoint whose files were looked at, but whose weights still rest."""

    folder: Path
    name: str
    body: dict[str, Any]  # the backbone's own config
    backbone: PreTrainedConfig
    config: MsaConfig
    tokenizer: Tokenizer
    tokenizer_digest: str
    shards: Shards
    is_plain: bool

    def identity(self, dtype: torch.dtype) -> Identity:
        """What blocks are made by. Reads the weights that were not read yet, to digest them."""
        # What else decides the content of a block: a change of it must be seen like one of weights.
        beside = {key: one for key, one in self.body.items() if key not in ("dtype", "torch_dtype")}
        facts = [beside, self.config.cosine, self.config.decouple_router]
        return Identity(
            model=f"msa/{self.backbone.model_type}/{self.name}",
            weights_digest=self.shards.digest(json.dumps(facts, sort_keys=True)),
            tokenizer_digest=self.tokenizer_digest,
            template=self.config.template,
            pool_size=self.config.pool_size,
            dtype=str(dtype).removeprefix("torch."),
            router_layers=self.config.router_layers,
        )


def open_checkpoint(source: str | Path) -> Checkpoint:
    """Look at a directory or hub id: config, tokenizer, names and shapes of the weights.

    Raises FileNotFoundError for what is missing and ValueError for what is wrong, naming the file
    and the field.
    """
    folder, name = find(source)
    body = read_config(folder)
    is_plain = body.get("model_type") != MODEL_TYPE
    try:
        config, body = (None, body) if is_plain else parse(body)
        backbone = backbone_config(body)
        config = config or plain(backbone)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from error
    tokenizer, digest = read_tokenizer(folder)
    _check_tokenizer(folder, tokenizer, backbone)
    shards = Shards(folder)
    return Checkpoint(folder, name, body, backbone, config, tokenizer, digest, shards, is_plain)


def load_decoder(
    source: str | Path, dtype: torch.dtype | None = None, device: str = "cpu"
) -> Decoder:
    """Load a directory or a hub id, in the checkpoint's own precision unless `dtype` says another
    (blocks differ by rounding then, and have the same identity).

    Takes little more memory than the weights. Raises FileNotFoundError for what is missing and
    ValueError for what is wrong, naming the file, the field or the tensor.
    """
    found = open_checkpoint(source)
    dtype = dtype or found.shards.dtype()
    try:
        network = load_network(found.shards, found.backbone, found.config, dtype)
    except ValueError as error:
        raise ValueError(f"{found.folder}: {error}") from error
    if found.is_plain:
        _log.warning(
            "%s has no routers: it is a plain %s, so the attention's own queries and keys route "
            "meanwhile. `memsvc model init` gives it routers, training makes them good.",
            found.name,
            found.backbone.model_type,
        )
    identity = found.identity(found.shards.dtype())
    network.to(torch.device(device))  # type: ignore[arg-type]
    return Decoder(network, found.config, found.tokenizer, identity, found.is_plain)


def skeleton(backbone: PreTrainedConfig) -> PreTrainedModel:
    """The network without memory for its weights. Raises ValueError for a family whose layers do
    not all go through transformers' `AttentionInterface`: there is no place for memory in it."""
    family: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(backbone)]
    text = backbone.get_text_config()
    reason = f"model_type: {backbone.model_type!r} cannot be a memory model: "
    if not family._supports_attention_backend:
        raise ValueError(f"{reason}transformers does not let its attention be replaced")
    with torch.device("meta"):
        network: PreTrainedModel = AutoModelForCausalLM.from_config(
            backbone, attn_implementation=ATTENTION
        )
    without = set(range(text.num_hidden_layers)) - set(attention_modules(network))
    if without:
        raise ValueError(f"{reason}layers {sorted(without)} have no attention")
    return network


def load_network(
    shards: Shards, backbone: PreTrainedConfig, config: MsaConfig, dtype: torch.dtype
) -> PreTrainedModel:
    """The network with its routers. Raises ValueError naming tensors that are missing, unexpected
    or of another shape."""
    skeleton(backbone)  # refuses what cannot work before gigabytes are read
    stored = {name: one for name, one in shards.tensors.items() if name not in UNUSED}
    routers = {name: one for name, one in stored.items() if is_router(name)}
    rest = {name: one for name, one in stored.items() if name not in routers}
    with _quietly():
        family: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(backbone)]
        network, report = family.from_pretrained(
            None,
            config=backbone,
            state_dict=rest,
            dtype=dtype,
            attn_implementation=ATTENTION,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that all are told at once, below
        )
    attach_routers(network, config)
    wanted = {name: p for name, p in network.named_parameters() if is_router(name)}
    _refuse(report, set(wanted) - set(routers), set(routers) - set(wanted))
    _fill(wanted, routers)
    return network  # type: ignore[no-any-return]


def is_router(name: str) -> bool:
    """Whether a parameter of this name is a router's."""
    return any(part in name for part in _ROUTER)


def _fill(wanted: dict[str, nn.Parameter], routers: dict[str, StoredTensor]) -> None:
    shapes = [(n, routers[n].shape, tuple(p.shape)) for n, p in wanted.items()]
    _refuse_shapes([one for one in shapes if one[1] != one[2]])
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(routers[name][...])


def _refuse(report: dict[str, Any], missing: set[str], unexpected: set[str]) -> None:
    missing = missing | set(report["missing_keys"])
    if missing:
        raise ValueError(
            f"weights lack {listed(missing)}: the files are not whole, or config.json is another "
            "model's"
        )
    unexpected = unexpected | set(report["unexpected_keys"])
    if unexpected:
        raise ValueError(
            f"weights hold {listed(unexpected)}, for which the model that config.json describes "
            "has no place"
        )
    _refuse_shapes([(name, tuple(a), tuple(b)) for name, a, b in report["mismatched_keys"]])
    if report.get("error_msgs"):
        raise ValueError(f"weights cannot be converted: {'; '.join(report['error_msgs'])}")


def _refuse_shapes(wrong: list[tuple[str, tuple[int, ...], tuple[int, ...]]]) -> None:
    if wrong:
        told = [f"{name} is {list(has)}, expected {list(needs)}" for name, has, needs in wrong]
        raise ValueError(f"shapes do not fit config.json: {listed(told)}")


def _check_tokenizer(folder: Path, tokenizer: Tokenizer, backbone: PreTrainedConfig) -> None:
    path = folder / TOKENIZER
    missing = missing_tokens(tokenizer)
    if missing:
        raise ValueError(
            f"{path}: lacks {', '.join(missing)}, which the template needs; "
            "`memsvc model init BASE OUT` writes a checkpoint that has them"
        )
    rows, highest = backbone.get_text_config().vocab_size, highest_id(tokenizer)
    if highest >= rows:
        raise ValueError(
            f"{path}: has ids up to {highest}, but config.json's vocab_size is {rows}: it belongs "
            "to another model"
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' bars and tables: what they would say is raised instead."""
    before, bars = noise.get_verbosity(), noise.is_progress_bar_enabled()
    noise.set_verbosity_error()
    noise.disable_progress_bar()
    try:
        yield
    finally:
        noise.set_verbosity(before)
        if bars:
            noise.enable_progress_bar()
