"""Training computes what the engine computes: same prompts, same blocks, same routes, same logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from memsvc_router import ResidentMemory
from memsvc_router.api import ROUTING, AskOptions, DocumentText, Sampling, Step, content_name
from memsvc_router.decoder.loading import load_decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.prompts import Prompts
from memsvc_router.decoder.state import Feed, QuestionState
from memsvc_router.training.decoder.asking import AskPass
from memsvc_router.training.decoder.module import DecoderModule
from memsvc_router.training.decoder.packing import PackedPass, pack
from memsvc_router.training.decoder.routes import choose
from memsvc_router.training.decoder.samples import Row, Samples

from tests.asking_support import only, reading
from tests.decoder_support import FAMILIES, make_published
from tests.train_decoder_support import NUMBERS, PASSAGES, QUESTIONS, asked_of

DOCUMENTS = [DocumentText(p.title, p.text, str(NUMBERS[p.id])) for p in PASSAGES]
ROUTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"head_reduce_method": "max"},
    {"query_reduce_method": "mean", "chunk_reduce_method": "mean"},
    {"query_reduce_method": "last"},
    {"decouple_router": False},
    {"aux_loss_method": "INFONCE_DECOUPLE"},
)


def both(
    folder: Path, family: str = "qwen3", **msa: Any
) -> tuple[DecoderMemoryModel, DecoderModule]:
    """One checkpoint in the engine, and as it is trained."""
    path = make_published(folder, family, msa=msa)
    trained = load_decoder(path)
    module = DecoderModule(trained.network, trained.config, (1.0, 1.0))
    return DecoderMemoryModel(load_decoder(path)), module


def rows_of(prompts: Prompts) -> list[Row]:
    """A sample of each hop of a chain of two, and one of a chain of one."""
    samples, by_id = Samples(prompts, 256), {p.id: p for p in PASSAGES}
    found = []
    for question, hops in ((QUESTIONS[1], (0, 1, 2)), (QUESTIONS[2], (1,))):
        chain = [by_id[name] for name in question.evidence]
        found += [samples.row(question, chain, hop, NUMBERS) for hop in hops]
    return found


def packed_documents(prompts: Prompts, pool_size: int) -> Any:
    return pack([[p.ids for p in prompts.document(d, 128)] for d in DOCUMENTS], pool_size)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_document_is_encoded_as_if_alone(family: str, tmp_path: Path) -> None:
    engine, module = both(tmp_path, family)
    packed = pack(
        [[p.ids for p in engine.prompts.document(d, 4096)] for d in DOCUMENTS],
        engine.config.pool_size,
    )
    assert len(packed.ids) < len(DOCUMENTS)  # they do share rows
    run = PackedPass(engine.config, packed)
    module.run(run, packed.ids, packed.positions, None)
    for number, block in enumerate(engine.encode(DOCUMENTS)):
        own = packed.document_of_chunk == number
        for at, layer in enumerate(engine.config.router_layers):
            content = torch.from_numpy(block.tensors[content_name(at)])
            torch.testing.assert_close(run.content[layer][own], content, atol=2e-5, rtol=1e-4)
            keys = torch.from_numpy(block.tensors[ROUTING])[:, at]
            torch.testing.assert_close(run.routing[layer][own], keys, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_questions_get_the_engines_logits_in_every_family(family: str, tmp_path: Path) -> None:
    agree(*both(tmp_path, family))


@pytest.mark.parametrize("routing", ROUTINGS, ids=str)
def test_questions_get_the_engines_scores_however_they_are_reduced(
    routing: dict[str, Any], tmp_path: Path
) -> None:
    agree(*both(tmp_path, **routing))


def agree(engine: DecoderMemoryModel, module: DecoderModule) -> None:
    """Logits of all tokens and routes of all segments are the engine's."""
    config, rows = engine.config, rows_of(engine.prompts)
    bank = ResidentMemory([d.document_id for d in DOCUMENTS], DOCUMENTS, engine.encode(DOCUMENTS))
    packed = packed_documents(engine.prompts, config.pool_size)
    encoded = PackedPass(config, packed)
    module.run(encoded, packed.ids, packed.positions, None)
    asked = asked_of(rows, config.top_k, len(DOCUMENTS))
    asking = AskPass(config, asked, encoded, packed.document_of_chunk)
    ids, positions = asked.ids.reshape(1, -1), asked.positions.reshape(1, -1)
    logits = module.run(asking, ids, positions, torch.arange(asked.ids.numel()))
    by_row = logits.view(*asked.ids.shape, -1)
    for at, row in enumerate(rows):
        state = QuestionState(engine.runner.prefix, bank, config.top_k)
        began = row.segments.count(-1)
        for segment in range(max(row.segments) + 1):
            feed = feed_of(state, row, segment)
            engine.run([feed])
            ended = began + len(feed.tokens)
            torch.testing.assert_close(by_row[at, began:ended], feed.logits, atol=2e-4, rtol=1e-3)
            began = ended
            for layer in config.router_layers:
                same_route(asking.scores[layer][at, segment], state, layer)


def feed_of(state: QuestionState, row: Row, segment: int) -> Feed:
    places = [i for i, s in enumerate(row.segments) if s == segment]
    routed = [n for n, i in enumerate(places) if row.routed[i]]
    return Feed(state, [row.ids[i] for i in places], routed, all_tokens=True)


def same_route(scores: torch.Tensor, state: QuestionState, layer: int) -> None:
    route = state.routes[layer]
    chosen = torch.from_numpy(route.documents[0])
    told = torch.from_numpy(route.scores[0])
    torch.testing.assert_close(scores[chosen], told, atol=1e-4, rtol=1e-3)
    assert set(scores.topk(len(chosen)).indices.tolist()) == set(chosen.tolist())


def test_the_engine_feeds_what_training_taught(tmp_path: Path) -> None:
    """A question that reads one text and answers: token for token the sample of its last hop."""
    engine, _ = both(tmp_path)
    bank = ResidentMemory([d.document_id for d in DOCUMENTS], DOCUMENTS, engine.encode(DOCUMENTS))
    options = AskOptions(max_documents=1, max_hops=2, sampling=Sampling(max_tokens=1))
    for n in range(40):
        fed: list[int] = engine.prompts.prefix()
        text = f"Where was Marie born, {n}?"
        for event in engine.ask(bank, text, options):
            if isinstance(event, Feed):
                fed += event.tokens
                engine.run([event])
        row = taught(engine.prompts, text, fed)
        if row is not None:
            assert fed == row.ids[: len(fed)]
            assert len(row.ids) - len(fed) <= 2  # the answer, "Rome", begins here
            return
    raise AssertionError("this model never reads")


def taught(prompts: Prompts, text: str, fed: Sequence[int]) -> Row | None:
    """The sample of the document that was read, if any was."""
    samples = Samples(prompts, 1024)
    for passage in PASSAGES:
        from dataclasses import replace

        asked = replace(QUESTIONS[2], question=text)
        row = samples.row(asked, [passage], 1, NUMBERS)
        named = prompts.original(NUMBERS[passage.id], "")[:-1]
        if any(list(fed[i : i + len(named)]) == named for i in range(len(fed))):
            return row
    return None


def test_the_document_to_be_named_is_always_in_memory() -> None:
    scores = torch.tensor([[[0.9, 0.8, 0.1, 0.7], [0.9, 0.8, 0.1, 0.7]]])
    chosen = choose(scores, torch.tensor([[2, -1]]), 2)
    assert chosen.tolist() == [[[True, False, True, False], [True, True, False, False]]]


__all__ = ["Step", "only", "reading"]
