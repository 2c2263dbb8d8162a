"""What a decoder's config says is what it does; what cannot be done is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from memsvc_router.decoder.config import MsaConfig, backbone_config, parse, plain, settings_of
from memsvc_router.decoder.loading import load_decoder

from tests.decoder_support import FAMILIES, MSA, change_config, make_network, make_published

BODY: dict[str, Any] = {
    "model_type": "msa",
    "num_hidden_layers": 6,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "rope_theta": 1000000.0,
    "rope_scaling": None,
    "sliding_window": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 512,
}


def published(**settings: Any) -> MsaConfig:
    return parse(BODY | {"msa_config": MSA | settings})[0]


def test_the_published_fields_are_read() -> None:
    config = published(router_layer_idx="5,3", top_k_docs=7, infonce_loss_temp=0.5)
    assert config.router_layers == (3, 5)
    assert (config.top_k, config.pool_size, config.temperature) == (7, 8, 0.5)
    assert (config.heads, config.groups, config.head_width, config.layers) == (8, 2, 16, 6)
    assert config.max_positions == 4096


def test_all_layers_may_route() -> None:
    assert published(router_layer_idx="all").router_layers == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("method", "decoupled", "cosine", "scale"),
    [
        ("INFONCE", True, True, 1.0),
        ("INFONCE", False, True, 0.25),
        ("INFONCE_DECOUPLE", True, False, 0.25),
        ("infonce", True, False, 0.25),
        ("INFONCE_DECOUPLE", False, False, 0.25),
    ],
)
def test_only_the_exact_name_normalises(
    method: str, decoupled: bool, cosine: bool, scale: float
) -> None:
    config = published(aux_loss_method=method, decouple_router=decoupled)
    assert (config.cosine, config.scale) == (cosine, scale)


def test_settings_are_read_back_as_they_were_written() -> None:
    for settings in (MSA, MSA | {"head_reduce_method": "max", "query_reduce_method": "last"}):
        config = published(**settings)
        assert parse(BODY | {"msa_config": settings_of(config)})[0] == config


def test_what_transformers_4_saved_is_repaired() -> None:
    _, backbone = parse(BODY | {"msa_config": MSA, "auto_map": {"AutoConfig": "evil.Config"}})
    assert backbone["model_type"] == "qwen3"
    assert backbone["sliding_window"] is None
    assert "auto_map" not in backbone
    config = backbone_config(backbone)
    assert config.rope_parameters["rope_theta"] == 1000000.0
    assert config.dtype == torch.bfloat16


def test_theta_in_the_old_place_turns_the_network(tmp_path: Path) -> None:
    made = make_published(tmp_path)
    change_config(made, rope_parameters=None, rope_theta=77.0, rope_scaling=None)
    network = load_decoder(made).network
    (frequencies,) = [b for n, b in network.named_buffers() if n.endswith("rotary_emb.inv_freq")]
    torch.testing.assert_close(frequencies, 77.0 ** -(torch.arange(0, 16, 2) / 16))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("router_layer_idx", "5,6"),
        ("router_layer_idx", "-1"),
        ("router_layer_idx", "3,3"),
        ("router_layer_idx", ""),
        ("router_layer_idx", "upper"),
        ("router_layer_idx", 3),
        ("top_k_docs", 0),
        ("top_k_docs", True),
        ("pooling_kernel_size", 0),
        ("pooling_kernel_size", 8.5),
        ("decouple_router", "yes"),
        ("decouple_pooling_mode", "max"),
        ("rewrite_position", False),
        ("head_reduce_method", "sum"),
        ("query_reduce_method", "first"),
        ("chunk_reduce_method", "last"),
        ("aux_loss_method", None),
        ("infonce_loss_temp", 0),
        ("pooling_kernel_sise", 8),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"msa_config.*{field}") as refused:
        published(**{field: value})
    assert field not in MSA or repr(value) in str(refused.value)


@pytest.mark.parametrize("field", ["router_layer_idx", "decouple_router", "aux_loss_method"])
def test_a_setting_that_decides_results_must_be_said(field: str) -> None:
    settings = {key: value for key, value in MSA.items() if key != field}
    with pytest.raises(ValueError, match=rf"{field}.*missing"):
        parse(BODY | {"msa_config": settings})


def test_a_loss_weight_may_be_spelt_either_way() -> None:
    settings = {key: value for key, value in MSA.items() if key != "lmloss_weigth"}
    parse(BODY | {"msa_config": settings | {"lmloss_weight": 1.0}})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"msa_config": None}, "msa_config"),
        ({"memsvc_backbone": "nonsense"}, "nonsense"),
        ({"memsvc_backbone": "t5"}, "t5"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers|layer"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
        ({"max_position_embeddings": None}, "max_position_embeddings"),
    ],
)
def test_an_inconsistent_config_is_refused_by_field(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse(BODY | {"msa_config": MSA} | change)


def test_positions_are_not_guessed() -> None:
    body = {key: value for key, value in BODY.items() if key != "max_position_embeddings"}
    with pytest.raises(ValueError, match=r"max_position_embeddings.*missing"):
        parse(body | {"msa_config": MSA})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plain_decoder_routes_in_its_upper_half_by_its_own_attention(family: str) -> None:
    config = plain(make_network(family, layers=5).config)
    assert config.router_layers == (2, 3, 4)
    assert (config.pool_size, config.top_k, config.decouple_router) == (64, 16, False)
    assert config.cosine
    assert (config.heads, config.groups, config.head_width) == (4, 2, 16)


def test_a_backbone_of_another_family_is_named_in_the_config(tmp_path: Path) -> None:
    made = make_published(tmp_path, "gemma")
    body = json.loads((made / "config.json").read_text())
    assert parse(body)[1]["model_type"] == "gemma"
