"""A GPU whose memory runs out: less at a time, then the CPU, then an error that says what to do.

There is no GPU here: tensors stay on the CPU, and what would fill a GPU is made to.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memsvc_kernels import serving
from memsvc_router import load_model
from memsvc_router.decoder import fetching, loading
from memsvc_router.decoder.loading import Decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.state import Feed, QuestionState
from memsvc_router.device import DeviceFull
from torch import Tensor

from memsvc.errors import translate
from tests.asking_support import DOCUMENTS, QUESTIONS, bank, model
from tests.decoder_support import make_published


def feed_of(made: DecoderMemoryModel, state: QuestionState, question: str) -> Feed:
    """A question that is asked now."""
    tokens, routed = made.prompts.question(question)
    return Feed(state, tokens, range(routed))


def by_length(made: DecoderMemoryModel) -> list[str]:
    """All questions, the longest last."""
    return sorted(QUESTIONS, key=lambda one: len(made.prompts.question(one)[0]))


def feeds(made: DecoderMemoryModel, view: Any) -> list[Feed]:
    """All questions, asked of states of their own."""
    states = [QuestionState(made.runner.prefix, view, made.top_k) for _ in QUESTIONS]
    return [feed_of(made, *one) for one in zip(states, by_length(made), strict=True)]


def limit(made: DecoderMemoryModel, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """The device has room for so many tokens of one forward."""
    network = made.decoder.network.base_model
    inside = network.forward

    def forward(*args: Any, **call: Any) -> Any:
        if call["input_ids"].numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return inside(*args, **call)

    monkeypatch.setattr(network, "forward", forward)


def test_questions_that_have_no_room_together_are_run_in_parts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = model()
    view = bank(made)
    together, apart = feeds(made, view), feeds(made, view)
    made.run(together)
    limit(made, monkeypatch, max(len(feed.tokens) for feed in apart))
    made.run(apart)
    for ours, wanted in zip(apart, together, strict=True):
        torch.testing.assert_close(ours.logits, wanted.logits, atol=1e-4, rtol=1e-4)
    assert "no memory for 3 questions at once" in caplog.messages[0]


def test_a_question_that_has_no_room_alone_hears_what_to_do_and_may_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = model()
    view = bank(made)
    asked = feeds(made, view)
    with monkeypatch.context() as full:
        limit(made, full, len(asked[-1].tokens) - 1)
        made.run(asked)
    with pytest.raises(DeviceFull, match="lower the question's k and max_read_tokens") as told:
        _ = asked[-1].logits
    refusal = translate(told.value)
    assert refusal.reason.retryable
    assert "try again" in refusal.message
    assert asked[0].logits.isfinite().all()
    state = asked[-1].question
    assert state.length == 0
    again = feed_of(made, state, by_length(made)[-1])
    wanted = feeds(made, view)
    made.run([again, *wanted])
    torch.testing.assert_close(again.logits, wanted[-1].logits, atol=1e-4, rtol=1e-4)


def test_documents_that_have_no_room_together_are_encoded_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = model()
    wanted = made.encode(DOCUMENTS)
    limit(made, monkeypatch, max(block.tokens for block in wanted))
    for ours, other in zip(made.encode(DOCUMENTS), wanted, strict=True):
        for name, values in ours.tensors.items():
            mine: Any = values
            assert np.allclose(mine, other.tensors[name], atol=1e-4)
    limit(made, monkeypatch, 1)
    with pytest.raises(DeviceFull):
        made.encode(DOCUMENTS[:1])


def test_a_model_that_has_no_room_on_the_gpu_is_served_from_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inside, left = loading.load_decoder, []

    def load(source: str, dtype: torch.dtype | None, device: str) -> Decoder:
        decoder = inside(source, dtype, "cpu")
        if device == "cuda":
            left.append(weakref.ref(decoder.network))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8 GiB.\nSee more")
        assert [one() for one in left] == [None]  # its memory is free
        return decoder

    monkeypatch.setattr(loading, "load_decoder", load)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(serving, "_told", set())
    caplog.set_level(logging.INFO)
    made = load_model(str(make_published(tmp_path)))
    assert isinstance(made, DecoderMemoryModel)
    assert made.encode(DOCUMENTS[:1])[0].tokens > 0
    told: Sequence[str] = caplog.messages
    assert any("has no room on the GPU, so it runs on the CPU" in line for line in told)
    assert "the model is on the CPU: kernels are plain torch" in told


def test_a_machine_without_a_gpu_says_so_when_it_loads_a_model(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "_told", set())
    caplog.set_level(logging.INFO, "memsvc.kernels")
    load_model(None)
    assert caplog.messages == ["no GPU: kernels are plain torch"]


class Arrival:
    """An event of a GPU's stream, which comes when somebody waits for it."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def record(self, stream: object) -> None:
        del stream
        self._told.append("copied")

    def synchronize(self) -> None:
        self._told.append("waited")


def test_content_passes_one_pinned_buffer_that_is_not_written_before_it_has_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    def pinned(size: int) -> Tensor:
        told.append(f"{size} bytes")
        return torch.empty(size, dtype=torch.uint8)

    monkeypatch.setattr(fetching, "_pinned", pinned)
    monkeypatch.setattr(torch.cuda, "Event", lambda: Arrival(told))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: None)
    staging, device = fetching.Staging(), torch.device("cpu")
    first = [torch.randn(3, 2, 1, 5), torch.randn(1, 2, 1, 5).bfloat16(), torch.empty(0, 2, 1, 5)]
    second = [torch.randn(2, 2, 1, 5), torch.randn(900)]
    found = [*staging.moved(first, device), *staging.moved(first, device)]
    assert told == ["512 bytes", "copied", "waited", "copied"]
    found += staging.moved(second, device)
    assert told[4:] == ["waited", f"{256 + 3840} bytes", "copied"]
    for ours, wanted in zip(found, [*first, *first, *second], strict=True):
        assert ours.dtype == wanted.dtype
        assert torch.equal(ours, wanted)
