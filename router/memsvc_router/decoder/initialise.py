"""Gives a plain decoder routers: writes its checkpoint anew in the published format (MSA §6).

The backbone's tensors are copied as they rest, one file's worth at a time; routers begin as copies
of the attention's own projections. Knows names and shapes; trains nothing.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from memsvc_router.decoder.attention import attach_routers
from memsvc_router.decoder.config import (
    BACKBONE,
    MODEL_TYPE,
    SETTINGS,
    MsaConfig,
    backbone_config,
    parse,
    plain,
    settings_of,
)
from memsvc_router.decoder.loading import skeleton
from memsvc_router.decoder.shards import Shards, write_shards
from memsvc_router.decoder.source import (
    CONFIG,
    TOKENIZER,
    find,
    highest_id,
    missing_tokens,
    read_config,
    read_tokenizer,
)

SHARD_BYTES = 5_000_000_000
COPIED = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
_ROUTER = re.compile(r"(.+)\.router_([qk])_proj\.0\.weight")
_NOISE = 0.1  # of a dimension's deviation: new tokens begin at the mean, but not all the same


@dataclass(frozen=True)
class Initialised:
    """What was written. `routers_copied`: routers that began as the attention's projection;
    `routers_drawn`: those of shapes that have none, drawn at random."""

    folder: Path
    router_layers: tuple[int, ...]
    tokens_added: tuple[str, ...]
    routers_copied: int
    routers_drawn: int


def init_checkpoint(
    base: Path | str,
    out: Path,
    pool_size: int = 64,
    top_k: int = 16,
    router_layers: str = "upper-half",
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
) -> Initialised:
    """Write `base`, a directory or hub id of a plain decoder, with routers to the directory `out`.

    `router_layers`: `upper-half`, `all`, or numbers with commas. Tokens that the template needs and
    the tokenizer lacks are added, with rows of the embeddings where there are none to spare. `out`
    appears whole or not at all. Raises FileExistsError if it holds something, else what
    `load_decoder` does.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out}: exists and is not an empty directory; name another")
    folder, _ = find(base)
    body = _plain_body(folder)
    backbone = backbone_config(body)
    tokenizer, _ = read_tokenizer(folder)
    added = missing_tokens(tokenizer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in added])
    rows = max(backbone.get_text_config().vocab_size, highest_id(tokenizer) + 1)
    config, body = _published(body, backbone, pool_size, top_k, router_layers, rows)
    weights = _Weights(Shards(folder), backbone, config, rows, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        write_shards(part, weights.all(), shard_bytes)
        _write_rest(folder, part, body, tokenizer, added)
        part.chmod(0o755)  # mkdtemp keeps others out
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Initialised(out, config.router_layers, tuple(added), weights.copied, weights.drawn)


def router_shapes(network: PreTrainedModel, config: MsaConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the routers that `config` asks for; attaches them to the network."""
    attach_routers(network, replace(config, decouple_router=True))
    return {
        name: tuple(parameter.shape)
        for name, parameter in network.named_parameters()
        if _ROUTER.fullmatch(name)
    }


class _Weights:
    """The tensors of the new checkpoint, made as they are asked for."""

    def __init__(
        self, shards: Shards, backbone: PreTrainedConfig, config: MsaConfig, rows: int, seed: int
    ) -> None:
        self._stored = shards.tensors
        self._dtype = shards.dtype()
        self._random = torch.Generator().manual_seed(seed)
        network = skeleton(backbone)
        self._vocabulary = backbone.get_text_config().vocab_size
        self._rows = rows
        self._by_token = self._embeddings(network) if rows > self._vocabulary else set()
        self._routers = router_shapes(network, config)
        self.copied = self.drawn = 0

    def all(self) -> Iterator[tuple[str, Tensor]]:
        """Name and value of each."""
        for name, stored in sorted(self._stored.items()):
            tensor = stored[...]
            yield name, self._grown(tensor) if name in self._by_token else tensor
        for name, shape in self._routers.items():
            yield name, self._router(name, shape)

    def _router(self, name: str, shape: tuple[int, ...]) -> Tensor:
        found = _ROUTER.fullmatch(name)
        assert found
        own = self._stored.get(f"{found[1]}.{found[2]}_proj.weight")
        if own is not None and own.shape == shape:
            self.copied += 1
            router = own[...]
        else:
            self.drawn += 1
            router = torch.randn(shape, generator=self._random) * float(shape[-1] ** -0.5)
        return router.to(self._dtype)

    def _embeddings(self, network: PreTrainedModel) -> set[str]:
        """Stored tensors with a row for each token: of the embeddings, and of the head on top."""
        known = network.state_dict(keep_vars=True)
        renamed = {name: one.shape for name, one in self._stored.items() if name not in known}
        ends = (network.get_input_embeddings(), network.get_output_embeddings())
        wanted = {id(p): tuple(p.shape) for end in ends if end for p in end.parameters()}
        found = set()
        for key, shape in wanted.items():
            names = {name for name, one in known.items() if id(one) == key} & set(self._stored)
            names = names or {name for name, other in renamed.items() if other == shape}
            if shape[0] != self._vocabulary or not names:
                raise ValueError(
                    f"the template's tokens cannot be added: the weights have no table of "
                    f"{list(shape)} that is known to be the embeddings or the head"
                )
            found |= names
        return found

    def _grown(self, table: Tensor) -> Tensor:
        """With rows for new tokens: near the mean of the others."""
        known = table.float()
        shape = (self._rows - len(table), *table.shape[1:])
        noise = torch.randn(shape, generator=self._random) * known.std(0) * _NOISE
        return torch.cat((table, (known.mean(0) + noise).to(table.dtype)))


def _plain_body(folder: Path) -> dict[str, Any]:
    body = read_config(folder)
    if body.get("model_type") == MODEL_TYPE:
        raise ValueError(f"{folder}: has routers already; give a plain decoder")
    return body


def _published(
    body: dict[str, Any],
    backbone: PreTrainedConfig,
    pool_size: int,
    top_k: int,
    router_layers: str,
    rows: int,
) -> tuple[MsaConfig, dict[str, Any]]:
    """The new config, checked as one that is read."""
    start = replace(plain(backbone), pool_size=pool_size, top_k=top_k, decouple_router=True)
    settings = settings_of(start)
    if router_layers != "upper-half":
        settings["router_layer_idx"] = router_layers
    fields = {key: value for key, value in body.items() if key != "auto_map"}
    if "text_config" in fields:
        fields["text_config"] = dict(fields["text_config"]) | {"vocab_size": rows}
    else:
        fields["vocab_size"] = rows
    fields |= {
        "architectures": ["MSAForCausalLM"],
        "model_type": MODEL_TYPE,
        BACKBONE: backbone.model_type,
        SETTINGS: settings,
    }
    return parse(fields)[0], fields


def _write_rest(
    base: Path, out: Path, body: dict[str, Any], tokenizer: Tokenizer, added: list[str]
) -> None:
    for name in COPIED:
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)
    if added:
        tokenizer.save(str(out / TOKENIZER))
    else:
        shutil.copyfile(base / TOKENIZER, out / TOKENIZER)
    described = out / "tokenizer_config.json"
    if not described.exists():
        described.write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}\n')
    (out / CONFIG).write_text(json.dumps(body, indent=2) + "\n")
