"""Encoding: each document alone, blocks that cover its text, whatever shares the batch."""

from __future__ import annotations

import numpy as np
from memsvc_kernels import shard_threads
from memsvc_router.api import (
    ROUTING,
    SPANS,
    DocumentText,
    EncodedDocument,
    MemoryModel,
    content_name,
)

from tests.router_support import TOWNS, default_model


def test_blocks_do_not_depend_on_what_shares_the_batch() -> None:
    model = default_model()
    texts = list(TOWNS.values())
    together = model.encode(texts)
    for text, block in zip(texts, together, strict=True):
        alone = model.encode([text])[0]
        assert alone.tokens == block.tokens
        np.testing.assert_array_equal(alone.tensors[SPANS], block.tensors[SPANS])
        for name, bound in (
            (ROUTING, 0.02),
            (content_name(0), 0.15),
        ):  # bf16 kernels differ by shape
            a = alone.tensors[name].astype(np.float32)
            b = block.tensors[name].astype(np.float32)
            assert np.abs(a - b).max() <= bound


def test_a_long_document_is_encoded_in_steps_to_the_same_blocks() -> None:
    long = DocumentText(
        "Numbers", " ".join(f"word{n} is number {n}." for n in range(450 * shard_threads()))
    )
    steps = default_model().encode_steps([long, *TOWNS.values()])
    taken = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            blocks: list[EncodedDocument] = end.value
            break
        taken += 1
    assert taken >= 3  # some 3,000 tokens for each thread, which takes 512 at a time
    for block, right in zip(blocks, default_model().encode([long, *TOWNS.values()]), strict=True):
        assert block.tokens == right.tokens
        for name, values in right.tensors.items():
            np.testing.assert_array_equal(block.tensors[name], values)


def test_the_keys_of_meaning_are_unit_vectors_in_short_documents() -> None:
    short = [text for text in TOWNS.values() if len(text.text) < 500]
    for block in default_model().encode(short):
        lengths = np.linalg.norm(block.tensors[ROUTING][:, 0].astype(np.float32), axis=-1)
        np.testing.assert_allclose(lengths, 1.0, atol=2e-3)


def test_chunk_spans_run_through_the_whole_text_in_order() -> None:
    long = DocumentText("Numbers", " ".join(f"word{n} is number {n}." for n in range(400)))
    block = default_model().encode([long])[0]
    spans = block.tensors[SPANS].astype(np.int64)
    assert len(spans) == len(block.tensors[content_name(0)]) == len(block.tensors[ROUTING])
    assert spans[0, 0] == 0
    assert spans[-1].max() == len(long.text)
    assert (spans[:, 1] >= spans[:, 0]).all()
    assert (np.diff(spans[:, 0]) >= 0).all()
    gaps = spans[1:, 0] - spans[:-1, 1]
    assert gaps.max() <= 1  # nothing but a blank between two chunks


def test_odd_texts_are_encoded_too() -> None:
    odd = [
        DocumentText("", "x"),
        DocumentText("", "\u200b"),  # tokenises to nothing
        DocumentText("a very long title " * 40, "body"),
        DocumentText("emoji", "\U0001f600 caf\u00e9 \u4e2d\u6587"),
    ]
    blocks = default_model().encode(odd)
    assert [len(b.tensors[SPANS]) for b in blocks] == [1, 1, 1, 1]
    for text, block in zip(odd, blocks, strict=True):
        assert block.tensors[SPANS].max() <= len(text.text)
        assert all(np.isfinite(t.astype(np.float32)).all() for t in block.tensors.values())


def test_the_small_model_is_a_memory_model() -> None:
    assert isinstance(default_model(), MemoryModel)
    assert default_model().encode([]) == []
