"""What is computed in the floats that are fast on this machine serves the same blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from memsvc_router import SmallMemoryModel, load_model
from memsvc_router.api import DocumentText
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.precision import compute_dtype

from tests.decoder_support import make_published

BOTH = (torch.float32, torch.bfloat16)


def test_the_choice_stands_for_the_life_of_a_process() -> None:
    assert compute_dtype() in BOTH
    assert compute_dtype() is compute_dtype()


def test_the_default_model_makes_the_same_blocks_but_for_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks, identities = [], []
    for fast in BOTH:
        monkeypatch.setattr("memsvc_router.checkpoint.compute_dtype", lambda chosen=fast: chosen)
        model = SmallMemoryModel()
        assert model.network.reader.dtype == fast
        identities.append(model.identity)
        blocks.append(model.encode([DocumentText("Rivers", "The Vltava flows through Prague.")])[0])
    assert identities[0] == identities[1]
    for name, exact in blocks[0].tensors.items():
        close = blocks[1].tensors[name].astype(np.float32)
        apart = np.abs(close - exact.astype(np.float32)).max()
        assert apart <= 0.03 * np.abs(exact).max()


@pytest.mark.parametrize("fast", [torch.float32, torch.bfloat16])
def test_it_is_served_in_the_floats_that_are_fast_here(
    tmp_path: Path, fast: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memsvc_router.models.compute_dtype", lambda: fast)
    model = load_model(str(make_published(tmp_path, dtype=torch.bfloat16)))
    assert isinstance(model, DecoderMemoryModel)
    assert {p.dtype for p in model.decoder.network.parameters()} == {fast}
    assert model.identity.dtype == "bfloat16"
