"""A decoder that computes through the Triton kernels finds and says what it does without them.

Runs as test_triton_kernels.py does: in the interpreter, or on a GPU.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from memsvc_kernels import kernel_check, serving
from memsvc_router.api import AskOptions, Recall
from memsvc_router.decoder.loading import load_decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.state import Feed, QuestionState
from torch import Tensor

from tests.asking_support import DOCUMENTS, QUESTIONS, bank
from tests.decoder_support import make_published
from tests.train_decoder_support import small, task_of
from tests.triton_support import DEVICES

pytestmark = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each kernel was asked for."""
    names: Counter[str] = Counter()
    find = kernel_check.kernel

    def kernel(name: str) -> Any:
        names[name] += 1
        return find(name)

    monkeypatch.setattr(kernel_check, "kernel", kernel)
    return names


def loaded(folder: Path, device: str, **shape: Any) -> DecoderMemoryModel:
    """A tiny random decoder on the device."""
    return DecoderMemoryModel(load_decoder(make_published(folder, **shape), device=device))


def logits(made: DecoderMemoryModel, view: Any) -> list[Tensor]:
    """Of a question, then of a token that is decoded after it."""
    state = QuestionState(made.runner.prefix, view, made.top_k)
    tokens, routed = made.prompts.question(QUESTIONS[0])
    first, second = Feed(state, tokens, range(routed), all_tokens=True), Feed(state, [7])
    found = []
    for feed in (first, second):
        made.run([feed])
        found.append(feed.logits)
    return found


def test_a_question_s_attention_is_the_kernel_s(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_for: Counter[str]
) -> None:
    made = loaded(tmp_path, device)
    view = bank(made)
    monkeypatch.setenv(serving.VARIABLE, "reference")
    plain = logits(made, view)
    assert not asked_for
    monkeypatch.setenv(serving.VARIABLE, "triton")
    for ours, wanted in zip(logits(made, view), plain, strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=1e-3)
    assert asked_for == {"attend_memory": 2 * made.decoder.network.config.num_hidden_layers}


def test_a_window_that_matters_is_left_to_plain_torch(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_for: Counter[str]
) -> None:
    made = loaded(tmp_path, device, family="mistral", sliding_window=20)
    view = bank(made)
    monkeypatch.setenv(serving.VARIABLE, "triton")
    logits(made, view)
    assert not asked_for


def test_documents_are_encoded_and_found_as_without_kernels(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_for: Counter[str]
) -> None:
    made = loaded(tmp_path, device)
    found: list[Recall] = []
    for mode in ("reference", "triton"):
        monkeypatch.setenv(serving.VARIABLE, mode)
        view = bank(made, DOCUMENTS[:4])
        found.append(made.recall(view, QUESTIONS[1], AskOptions(max_hops=1)))
    assert asked_for["pool_chunks"] > 0
    assert asked_for["attend_memory"] > 0
    plain, ours = ([(hit.document_id, hit.chunk) for hit in one.hits] for one in found)
    assert ours == plain


def test_training_s_loss_and_gradients_are_those_without_kernels(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_for: Counter[str]
) -> None:
    task = task_of(tmp_path, small(questions=1))
    module, batch = task.module.to(device), task.batch(0, 0, 1).to(torch.device(device))
    found = []
    for mode in ("reference", "triton"):
        monkeypatch.setenv(serving.VARIABLE, mode)
        module.zero_grad()
        loss = module(batch)["loss"]
        loss.backward()
        slopes = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
        found.append((loss.detach(), slopes))
    assert asked_for["gather_attention"] == len(task.module.config.router_layers)
    (plain, slopes), (loss, ours) = found
    torch.testing.assert_close(loss, plain, atol=1e-4, rtol=1e-4)
    assert set(ours) == set(slopes)
    for name, slope in slopes.items():
        torch.testing.assert_close(ours[name], slope, atol=1e-4, rtol=1e-3)
