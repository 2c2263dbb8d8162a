"""Questions put to tiny random decoders over a handful of documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from memsvc_router import ResidentMemory
from memsvc_router.api import (
    AskOptions,
    Citation,
    DocumentText,
    Event,
    MemoryView,
    Sampling,
    Step,
)
from memsvc_router.decoder.loading import load_decoder
from memsvc_router.decoder.model import DecoderMemoryModel

from tests.decoder_support import make_published
from tests.router_support import TOWNS

QUESTIONS = ("Where was Marie born?", "What is the capital of France?", "Which river?")
DOCUMENTS = [DocumentText(t.title, t.text, name) for name, t in TOWNS.items()]


@cache
def model(family: str = "qwen3", dtype: torch.dtype = torch.float32) -> DecoderMemoryModel:
    with TemporaryDirectory() as folder:
        return DecoderMemoryModel(load_decoder(make_published(Path(folder), family, dtype=dtype)))


def bank(made: DecoderMemoryModel, documents: Sequence[DocumentText] = DOCUMENTS) -> ResidentMemory:
    return ResidentMemory([d.document_id for d in documents], documents, made.encode(documents))


def drive(made: DecoderMemoryModel, events: Iterator[Event | Step]) -> list[Event]:
    told: list[Event] = []
    for event in events:
        if isinstance(event, Step):
            made.run([event])
        else:
            told.append(event)
    return told


def asked(made: DecoderMemoryModel, view: MemoryView, question: str, **options: Any) -> list[Event]:
    options = {"sampling": Sampling(max_tokens=8), "max_hops": 3, **options}
    return drive(made, made.ask(view, question, AskOptions(**options)))


def reading(made: DecoderMemoryModel, view: MemoryView, **options: Any) -> list[Event]:
    """The events of the first question that reads something (a random model may stop at once)."""
    for n in range(40):
        events = asked(made, view, f"Where was Marie born, {n}?", **options)
        if any(isinstance(e, Citation) for e in events):
            return events
    raise AssertionError("this model never reads")


def only(kind: type[Any], events: Sequence[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]
