"""What training hides from the small model's reader, so that it does not learn sets by heart."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from memsvc_router.texts import MASK
from memsvc_router.training.small.corpus import build_corpus
from memsvc_router.training.small.paths import PathMaker

from tests.test_router_training import tiny_network, tiny_task, words, world


def test_dropout_is_the_readers_own(tmp_path: Path) -> None:
    network = tiny_task(tmp_path, dropout=0.5).network.float().train()
    ids = torch.arange(1000, 1008)[None]
    mask, types = torch.ones_like(ids, dtype=torch.bool), torch.zeros_like(ids)
    with torch.no_grad():
        assert not torch.equal(network.read(ids, mask, types), network.read(ids, mask, types))
        torch.testing.assert_close(network.states(ids, mask), network.states(ids, mask))


def test_texts_are_read_with_gaps_and_questions_are_not(tmp_path: Path) -> None:
    sample = tiny_task(tmp_path).batch(0, 0, 1).samples[0]
    read = [sample.golds[0]]
    corpus = build_corpus(tiny_network(), words(), world().passages, tmp_path)
    whole, gaps = (
        PathMaker(corpus, 112, share).make(0, sample, read, random.Random(1)).row
        for share in (0.0, 0.5)
    )
    hidden = [n for n, (a, b) in enumerate(zip(whole.ids, gaps.ids, strict=True)) if a != b]
    assert hidden
    assert {gaps.ids[n] for n in hidden} == {MASK}
    assert all(whole.sources[n][0] == 0 for n in hidden)
    assert whole.sources == gaps.sources
