"""What a decoder's `config.json` says: how it routes (MSA §6), and the decoder it is built on.

Knows fields and their meaning; no files, no weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, PreTrainedConfig

MODEL_TYPE = "msa"
BACKBONE = "memsvc_backbone"
SETTINGS = "msa_config"
TEMPLATE = "msa-qwen-v1"

_BACKBONE_DEFAULT = "qwen3"
# What decides results must be said; the rest concerns training, or has one value that we can do.
_REQUIRED = (
    "router_layer_idx",
    "top_k_docs",
    "pooling_kernel_size",
    "decouple_router",
    "head_reduce_method",
    "query_reduce_method",
    "chunk_reduce_method",
    "aux_loss_method",
)
_TRAINING = (
    "ansloss_weight",
    "aux_loss",
    "auxloss_weight",
    "infonce_loss_temp",
    "lmloss_weigth",
    "lmloss_weight",
    "recloss_weight",
)
_ONE_VALUE = {"decouple_pooling_mode": "mean", "rewrite_position": True}
_CHOICES = {
    "head_reduce_method": ("mean", "max"),
    "query_reduce_method": ("max", "mean", "last"),
    "chunk_reduce_method": ("max", "mean"),
}
# Never handed on: code that a checkpoint would have us run, and what describes the file.
_DROPPED = ("auto_map", "architectures", "transformers_version", SETTINGS, BACKBONE)


@dataclass(frozen=True)
class MsaConfig:
    """How a decoder remembers and routes, and the shape of its attention.

    `heads` query heads share `groups` key/value heads of width `head_width`.
    """

    router_layers: tuple[int, ...]
    top_k: int
    pool_size: int
    decouple_router: bool
    head_reduce: Literal["mean", "max"]
    query_reduce: Literal["max", "mean", "last"]
    chunk_reduce: Literal["max", "mean"]
    aux_loss_method: str
    temperature: float
    heads: int
    groups: int
    head_width: int
    layers: int
    max_positions: int
    template: str = TEMPLATE

    @property
    def cosine(self) -> bool:
        """Whether both sides of routing are normalised. Only this very spelling does it."""
        return self.aux_loss_method == "INFONCE"

    @property
    def scale(self) -> float:
        """What routing scores are multiplied by."""
        return 1.0 if self.cosine and self.decouple_router else float(self.head_width**-0.5)


def parse(body: Mapping[str, Any]) -> tuple[MsaConfig, dict[str, Any]]:
    """Read a published checkpoint's config.json: the routing, and the backbone's own config.

    Raises ValueError naming the field, what it holds, and what is expected.
    """
    if body.get("model_type") != MODEL_TYPE:
        raise ValueError(f"model_type: expected {MODEL_TYPE!r}, got {body.get('model_type')!r}")
    settings = body.get(SETTINGS)
    if not isinstance(settings, Mapping):
        raise ValueError(f"{SETTINGS}: expected an object with {_REQUIRED}, got {settings!r}")
    _check(settings)
    backbone = dict(body) | {"model_type": body.get(BACKBONE, _BACKBONE_DEFAULT)}
    shape = _shape(backbone_config(backbone))
    config = MsaConfig(
        router_layers=_layers(settings["router_layer_idx"], shape["layers"]),
        top_k=settings["top_k_docs"],
        pool_size=settings["pooling_kernel_size"],
        decouple_router=settings["decouple_router"],
        head_reduce=settings["head_reduce_method"],
        query_reduce=settings["query_reduce_method"],
        chunk_reduce=settings["chunk_reduce_method"],
        aux_loss_method=settings["aux_loss_method"],
        temperature=float(settings.get("infonce_loss_temp", 0.1)),
        **shape,
    )
    return config, _repaired(backbone)


def plain(config: PreTrainedConfig) -> MsaConfig:
    """How a checkpoint without routers remembers: in the upper half of its layers, routing by the
    attention's own queries and keys. Raises ValueError for a shape that cannot be read."""
    shape = _shape(config)
    return MsaConfig(
        router_layers=upper_half(shape["layers"]),
        top_k=16,
        pool_size=64,
        decouple_router=False,
        head_reduce="mean",
        query_reduce="max",
        chunk_reduce="max",
        aux_loss_method="INFONCE",
        temperature=0.1,
        **shape,
    )


def upper_half(layers: int) -> tuple[int, ...]:
    """The layers that remember where nothing else is said."""
    return tuple(range(layers // 2, layers))


def settings_of(config: MsaConfig) -> dict[str, Any]:
    """The `msa_config` that `parse` reads back."""
    return {
        "router_layer_idx": ",".join(map(str, config.router_layers)),
        "top_k_docs": config.top_k,
        "pooling_kernel_size": config.pool_size,
        "decouple_router": config.decouple_router,
        "head_reduce_method": config.head_reduce,
        "query_reduce_method": config.query_reduce,
        "chunk_reduce_method": config.chunk_reduce,
        "aux_loss_method": config.aux_loss_method,
        "infonce_loss_temp": config.temperature,
        **_ONE_VALUE,
    }


def backbone_config(body: Mapping[str, Any]) -> PreTrainedConfig:
    """A decoder's config as transformers takes it; code named in it is never run.

    Raises ValueError for a decoder that transformers does not know, and naming a wrong field.
    """
    fields = _repaired(body)
    family = fields.pop("model_type", None)
    if family not in CONFIG_MAPPING:
        raise ValueError(
            f"model_type: {family!r} is none that this version of transformers knows; code that "
            "comes with a checkpoint (auto_map) is never run"
        )
    if fields.get("quantization_config") is not None:
        raise ValueError(
            "quantization_config: quantised checkpoints cannot be loaded; use the checkpoint in "
            "bfloat16, float16 or float32"
        )
    try:
        config = AutoConfig.for_model(family, **fields)
    except (StrictDataclassError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"config of a {family}: {error}") from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(f"model_type: {family!r} is not a decoder that generates text")
    _require_positions(config, fields)
    return config


def _repaired(body: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that transformers takes. (It finds `rope_theta` and `torch_dtype` by itself.)"""
    fields = {key: value for key, value in body.items() if key not in _DROPPED}
    if fields.get("sliding_window") is False:  # saved so by transformers 4, refused by 5
        fields["sliding_window"] = None
    return fields


def _require_positions(config: PreTrainedConfig, fields: Mapping[str, Any]) -> None:
    """A family's default must not stand in for what the checkpoint does not say."""
    text = config.get_text_config()
    name = text.attribute_map.get("max_position_embeddings", "max_position_embeddings")
    said = name in fields or "max_position_embeddings" in fields
    nested = any(name in part for part in fields.values() if isinstance(part, Mapping))
    if not said and not nested:
        raise ValueError(
            f"{name}: missing; a decoder needs to say how many positions it was trained for"
        )


def _check(settings: Mapping[str, Any]) -> None:
    known = {*_REQUIRED, *_TRAINING, *_ONE_VALUE}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise ValueError(f"{SETTINGS}: unknown fields {unknown}; known are {sorted(known)}")
    missing = [name for name in _REQUIRED if name not in settings]
    if missing:
        raise ValueError(f"{SETTINGS}: fields {missing} are missing")
    for name, only in _ONE_VALUE.items():
        if settings.get(name, only) != only:
            raise _wrong(name, settings[name], f"{only!r}, the only value supported")
    for name, choices in _CHOICES.items():
        if settings[name] not in choices:
            raise _wrong(name, settings[name], f"one of {choices}")
    for name in ("top_k_docs", "pooling_kernel_size"):
        if not _is_count(settings[name]):
            raise _wrong(name, settings[name], "a whole number of at least 1")
    if not isinstance(settings["decouple_router"], bool):
        raise _wrong("decouple_router", settings["decouple_router"], "true or false")
    if not isinstance(settings["aux_loss_method"], str):
        raise _wrong("aux_loss_method", settings["aux_loss_method"], "a name")
    temperature = settings.get("infonce_loss_temp", 0.1)
    if not isinstance(temperature, int | float) or not temperature > 0:
        raise _wrong("infonce_loss_temp", temperature, "a number above 0")


def _layers(chosen: object, count: int) -> tuple[int, ...]:
    """`all`, or numbers with commas between them. Blocks list layers from the lowest up."""
    if chosen == "all":
        return tuple(range(count))
    expected = f'"all" or different layers from 0 to {count - 1}, as in "{count // 2},{count - 1}"'
    try:
        layers = [int(one) for one in str(chosen).split(",")]
    except ValueError:
        raise _wrong("router_layer_idx", chosen, expected) from None
    inside = all(0 <= layer < count for layer in layers)
    if not isinstance(chosen, str) or not inside or len(set(layers)) < len(layers):
        raise _wrong("router_layer_idx", chosen, expected)
    return tuple(sorted(layers))


def _shape(config: PreTrainedConfig) -> dict[str, Any]:
    """Shape fields of `MsaConfig`, under the names that all families answer to."""
    text = config.get_text_config()
    heads = _count(text, "num_attention_heads")
    groups = getattr(text, "num_key_value_heads", None)
    groups = heads if groups is None else _count(text, "num_key_value_heads")
    if heads % groups:
        raise ValueError(
            f"num_key_value_heads: {groups} does not divide num_attention_heads, {heads}"
        )
    width = getattr(text, "head_dim", None)
    hidden = _count(text, "hidden_size")
    if width is None and hidden % heads:
        raise ValueError(f"num_attention_heads: {heads} does not divide hidden_size, {hidden}")
    return {
        "heads": heads,
        "groups": groups,
        "head_width": hidden // heads if width is None else _count(text, "head_dim"),
        "layers": _count(text, "num_hidden_layers"),
        "max_positions": _count(text, "max_position_embeddings"),
    }


def _count(config: PreTrainedConfig, name: str) -> int:
    value = getattr(config, name, None)
    if not _is_count(value):
        raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
    return int(value)  # type: ignore[arg-type]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _wrong(name: str, found: object, expected: str) -> ValueError:
    return ValueError(f"{SETTINGS}.{name}: expected {expected}, got {found!r}")
