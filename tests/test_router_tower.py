"""What serves is the pretrained encoder: packed weights and fewer steps change no meaning."""

from __future__ import annotations

import logging
from unittest.mock import patch

import numpy as np
import pytest
import torch
from memsvc_kernels import pack_linear
from memsvc_kernels.packed import _serves
from memsvc_router.api import ROUTING, AskOptions, DocumentText, Done
from memsvc_router.memory import ResidentMemory
from memsvc_router.small import SmallMemoryModel, load_default_model
from memsvc_router.tower import towers
from torch import Tensor, nn
from torch.nn.functional import gelu, linear
from transformers import BertConfig, BertModel

from tests.router_support import default_model

DTYPES = pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-4), (torch.bfloat16, 0.06)])


def _linears(dtype: torch.dtype) -> tuple[nn.Linear, nn.Linear]:
    torch.manual_seed(0)
    return nn.Linear(40, 24).to(dtype), nn.Linear(40, 17, bias=False).to(dtype)


@DTYPES
@pytest.mark.parametrize("rows", [1, 13, 300])
@torch.inference_mode()
def test_packed_layers_come_to_what_the_layers_come_to(
    dtype: torch.dtype, near: float, rows: int
) -> None:
    both, states = _linears(dtype), torch.randn(2, rows, 40).to(dtype)
    wanted = torch.cat([layer(states) for layer in both], -1)
    packed = pack_linear(*both)
    torch.testing.assert_close(packed(states), wanted, rtol=near, atol=near)
    torch.testing.assert_close(packed.gelu(states), gelu(wanted), rtol=near, atol=near)


@torch.inference_mode()
def test_plain_products_serve_where_onednn_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (layer, _), states = _linears(torch.float32), torch.randn(3, 40)

    def broken(*_: object) -> Tensor:
        raise RuntimeError("no such operator")

    def wrong(*_: object) -> Tensor:
        return torch.zeros(3, 5, 40)

    for product, words in ((broken, "no such operator"), (wrong, "disagree")):
        _serves.cache_clear()
        with (
            patch("memsvc_kernels.packed._product", product),
            caplog.at_level(logging.WARNING, "memsvc.kernels"),
        ):
            torch.testing.assert_close(pack_linear(layer)(states), layer(states))
        assert words in caplog.records[-1].getMessage()
    _serves.cache_clear()
    monkeypatch.setenv("MEMSVC_KERNELS", "reference")
    assert torch.equal(pack_linear(layer)(states), linear(states, layer.weight, layer.bias))


@DTYPES
@pytest.mark.parametrize("act", ["gelu", "relu"])
@torch.inference_mode()
def test_a_tower_comes_to_what_the_librarys_encoder_comes_to(
    dtype: torch.dtype, near: float, act: str
) -> None:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_act=act,
    )
    bert = BertModel(config, add_pooling_layer=False).eval()
    for parameter in bert.parameters():
        parameter.data = parameter.data.to(dtype)
    ids, types = torch.randint(0, 50, (3, 19)), torch.randint(0, 2, (3, 19))
    mask = torch.arange(19) < torch.tensor([19, 4, 11])[:, None]
    (tower,) = towers(bert)
    for wanted_mask, own_types in ((mask, types), (torch.ones_like(mask), None)):
        given = {"attention_mask": wanted_mask.long(), "token_type_ids": own_types}
        wanted = bert(input_ids=ids, **given).last_hidden_state
        found = tower(ids, wanted_mask, own_types)
        torch.testing.assert_close(
            found[wanted_mask], wanted[wanted_mask], rtol=near, atol=2 * near
        )


def test_the_model_serves_by_its_towers_and_trains_by_its_modules() -> None:
    model = load_default_model()
    network = model.network.float()
    network.settle()
    ids = torch.tensor([model.tokenizer.encode("Where does the Rhine end?").ids])
    mask, types = torch.ones_like(ids, dtype=torch.bool), torch.zeros_like(ids)
    with torch.inference_mode():
        served = network.read(ids, mask, types), network.states(ids, mask)
    trained = network.read(ids, mask, types), network.states(ids, mask)
    for ours, theirs in zip(served, trained, strict=True):
        assert theirs.requires_grad
        assert not ours.requires_grad
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-3)


def test_it_remembers_the_same_without_packed_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [
        DocumentText("Rhine", "The Rhine ends in the North Sea."),
        DocumentText("Cats", "Meow"),
    ]
    packed = default_model()
    monkeypatch.setenv("MEMSVC_KERNELS", "reference")
    plain = load_default_model()
    keys = [model.encode(texts)[0].tensors[ROUTING] for model in (packed, plain)]
    np.testing.assert_allclose(keys[0].astype(float), keys[1].astype(float), atol=0.02)
    assert _answer(packed, texts) == _answer(plain, texts) == "North Sea"


def _answer(model: SmallMemoryModel, texts: list[DocumentText]) -> str:
    view = ResidentMemory(["a", "b"], texts, model.encode(texts))
    events = model.ask(view, "Where does the Rhine end?", AskOptions())
    return next(event.answer for event in events if isinstance(event, Done)).removeprefix("the ")
