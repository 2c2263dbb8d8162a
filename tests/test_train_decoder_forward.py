"""Training computes what the engine computes: the same prompts, blocks, routes and logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from memsvc_router import ResidentMemory
from memsvc_router.api import ROUTING, AskOptions, DocumentText, Sampling, content_name
from memsvc_router.decoder.loading import load_decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.prompts import Prompts
from memsvc_router.decoder.state import Feed, QuestionState
from memsvc_router.training.decoder.module import DecoderModule
from memsvc_router.training.decoder.packing import Packed, pack
from memsvc_router.training.decoder.routes import choose
from memsvc_router.training.decoder.samples import PREFIX, Row, Samples

from tests.decoder_support import FAMILIES, make_published
from tests.train_decoder_support import NUMBERS, PASSAGES, QUESTIONS, asked_of

DOCUMENTS = [DocumentText(p.title, p.text, str(NUMBERS[p.id])) for p in PASSAGES]
ROUTINGS: tuple[dict[str, Any], ...] = (
    {"head_reduce_method": "max"},
    {"query_reduce_method": "mean", "chunk_reduce_method": "mean"},
    {"query_reduce_method": "last"},
    {"decouple_router": False},
    {"aux_loss_method": "INFONCE_DECOUPLE"},
)
Both = tuple[DecoderMemoryModel, DecoderModule]


def both(folder: Path, family: str = "qwen3", **msa: Any) -> Both:
    """One checkpoint in the engine, and as it is trained."""
    path = make_published(folder, family, msa=msa)
    trained = load_decoder(path)
    module = DecoderModule(trained.network, trained.config, (1.0, 1.0))
    return DecoderMemoryModel(load_decoder(path)), module


def bank_of(engine: DecoderMemoryModel) -> ResidentMemory:
    return ResidentMemory([d.document_id for d in DOCUMENTS], DOCUMENTS, engine.encode(DOCUMENTS))


def packed_of(engine: DecoderMemoryModel) -> Packed:
    parts = [[p.ids for p in engine.prompts.document(d, 4096)] for d in DOCUMENTS]
    return pack(parts, engine.config.pool_size)


def rows_of(prompts: Prompts) -> list[Row]:
    """A sample of each hop of a chain of two, and one of a chain of one."""
    samples, by_id = Samples(prompts, 512), {p.id: p for p in PASSAGES}
    found = []
    for question, hops in ((QUESTIONS[1], (0, 1, 2)), (QUESTIONS[2], (1,))):
        chain = [by_id[name] for name in question.evidence]
        found += [samples.row(question, chain, hop, NUMBERS) for hop in hops]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_document_is_encoded_as_if_alone(family: str, tmp_path: Path) -> None:
    engine, module = both(tmp_path, family)
    packed = packed_of(engine)
    assert len(packed.ids) < len(DOCUMENTS)  # they do share rows
    run = module.encode(packed)
    for number, block in enumerate(engine.encode(DOCUMENTS)):
        own = packed.document_of_chunk == number
        for at, layer in enumerate(engine.config.router_layers):
            content = torch.tensor(block.tensors[content_name(at)])
            torch.testing.assert_close(run.content[layer][own], content, atol=1e-4, rtol=1e-3)
            keys = torch.tensor(block.tensors[ROUTING])[:, at]
            torch.testing.assert_close(run.routing[layer][own], keys, atol=1e-4, rtol=1e-3)


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
    config, rows, bank = engine.config, rows_of(engine.prompts), bank_of(engine)
    packed = packed_of(engine)
    asked = asked_of(rows, config.top_k, len(DOCUMENTS))
    everything = torch.arange(asked.ids.numel())
    run, logits = module.ask(asked, module.encode(packed), packed.document_of_chunk, everything)
    by_row = logits.view(*asked.ids.shape, -1)
    for at, row in enumerate(rows):
        state = QuestionState(engine.runner.prefix, bank, config.top_k)
        began = row.segments.count(PREFIX)
        for segment in range(max(row.segments) + 1):
            feed = feed_of(state, row, segment)
            engine.run([feed])
            ended = began + len(feed.tokens)
            torch.testing.assert_close(by_row[at, began:ended], feed.logits, atol=1e-3, rtol=1e-3)
            began = ended
            for layer in config.router_layers:
                same_route(run.scores[layer][at, segment], state, layer)


def feed_of(state: QuestionState, row: Row, segment: int) -> Feed:
    places = [i for i, s in enumerate(row.segments) if s == segment]
    routed = [n for n, i in enumerate(places) if row.routed[i]]
    return Feed(state, [row.ids[i] for i in places], routed, all_tokens=True)


def same_route(scores: torch.Tensor, state: QuestionState, layer: int) -> None:
    route = state.routes[layer]
    chosen = torch.tensor(route.documents[0])
    told = torch.tensor(route.scores[0])
    torch.testing.assert_close(scores[chosen], told, atol=1e-4, rtol=1e-3)
    assert set(scores.topk(len(chosen)).indices.tolist()) == set(chosen.tolist())


def test_the_engine_feeds_what_training_taught(tmp_path: Path) -> None:
    """A question that reads one text and is answered: token for token the sample of its end."""
    engine, _ = both(tmp_path)
    bank, samples = bank_of(engine), Samples(engine.prompts, 4096)
    options = AskOptions(max_documents=1, max_hops=1, sampling=Sampling(max_tokens=1))
    for n in range(40):  # a random model may read nothing
        question = replace(QUESTIONS[2], question=f"Where was Marie born, {n}?")
        fed = engine.prompts.prefix()
        read: list[str] = []
        for event in engine.ask(bank, question.question, options):
            if isinstance(event, Feed):
                fed += event.tokens
                engine.run([event])
            read += getattr(event, "read", ())
        for passage in PASSAGES:
            if read == [str(NUMBERS[passage.id])]:
                row = samples.row(question, [passage], 1, NUMBERS)
                answer = engine.prompts.plain("Rome")
                assert fed == row.ids[: -len(answer) - 1]
                assert row.labels[len(fed) - 1 :] == [*answer, engine.prompts.end, -100]
                return
    raise AssertionError("this model never reads")


def test_a_hop_teaches_the_name_of_its_document_and_nothing_else(tmp_path: Path) -> None:
    engine, _ = both(tmp_path)
    prompts, rows = engine.prompts, rows_of(engine.prompts)
    assert taught(rows[0]) == [*prompts.reference(NUMBERS["marie"]), prompts.reference_end]
    assert taught(rows[1]) == [*prompts.reference(NUMBERS["warsaw"]), prompts.reference_end]
    answer = [*prompts.plain("Vistula"), prompts.end]
    assert taught(rows[2]) == [*prompts.end_of_retrieve, *answer]
    for row in rows:  # each token foretells the next
        for at, label in enumerate(row.labels[:-1]):
            assert label in (-100, row.ids[at + 1])


def taught(row: Row) -> Sequence[int]:
    return [label for label in row.labels if label != -100]


def test_a_long_text_is_read_around_its_answer(tmp_path: Path) -> None:
    engine, _ = both(tmp_path)
    filler = "The town is old and its market is held on Mondays. " * 60
    long = replace(PASSAGES[1], text=f"{filler}Rome is the capital. {filler}")
    row = Samples(engine.prompts, 384).row(QUESTIONS[2], [long], 1, NUMBERS)
    assert len(row.ids) <= 384
    assert "Rome is" in engine.prompts.tokenizer.decode(row.ids)


def test_the_document_to_be_named_is_always_in_memory() -> None:
    scores = torch.tensor([[[0.9, 0.8, 0.1, 0.7], [0.9, 0.8, 0.1, 0.7]]])
    chosen = choose(scores, torch.tensor([[2, -1]]), 2)
    assert chosen.tolist() == [[[True, False, True, False], [True, True, False, False]]]
