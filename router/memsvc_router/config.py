"""The shape of a small memory model, as it stands in its checkpoint's `config.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

MODEL_TYPE = "memsvc-small"


@dataclass(frozen=True)
class MemoryConfig:
    """Shape of two towers on one pretrained encoder.

    Documents are read by the encoder as it is; questions and texts by a tuned copy that shares
    its lowest `shared_layers`. A document longer than `part_tokens` is encoded in parts (each
    begins with its title), which stay one document. Router layer 0 is the final state (meaning);
    `lexical_layers` more, `router_width` wide each, hold the words of a chunk's part.
    """

    backbone: dict[str, Any]
    pool_size: int = 64
    part_tokens: int = 256
    path_tokens: int = 480
    shared_layers: int = 2
    router_width: int = 384
    lexical_layers: int = 3
    memory_layers: int = 1
    heads: int = 6
    key_value_heads: int = 2
    head_width: int = 64
    slots: int = 32
    template: str = "bert-pair-v2"
    min_confidence: float = 0.06

    @property
    def router_layers(self) -> tuple[int, ...]:
        """The backbone state that feeds each router layer: the final one, then the embeddings."""
        return (int(self.backbone["num_hidden_layers"]), *([0] * self.lexical_layers))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self) | {"model_type": MODEL_TYPE}

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> MemoryConfig:
        """Read a checkpoint's config. Raises ValueError naming an unknown or missing field."""
        body = dict(body)
        kind = body.pop("model_type", None)
        if kind != MODEL_TYPE:
            raise ValueError(f"model_type: expected {MODEL_TYPE!r}, got {kind!r}")
        unknown = set(body) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown fields in the model's config: {sorted(unknown)}")
        if "backbone" not in body:
            raise ValueError("backbone: missing in the model's config")
        return cls(**body)
