"""Training the small model: losses mean what the paper says; runs learn, and only what they may."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from memsvc_router import SmallMemoryModel
from memsvc_router.checkpoint import DEFAULT_MODEL, load_checkpoint
from memsvc_router.config import MemoryConfig
from memsvc_router.network import MemoryNetwork
from memsvc_router.training.loop import Loop, LoopOptions
from memsvc_router.training.losses import chain_loss, routing_loss, span_loss
from memsvc_router.training.rows import Passage, Question, TrainingSet
from memsvc_router.training.small.build import small_task
from memsvc_router.training.small.corpus import build_corpus
from memsvc_router.training.small.options import SmallTraining
from memsvc_router.training.small.paths import PathMaker, token_spans
from memsvc_router.training.small.samples import Mix, answer_spans, make_samples
from memsvc_router.training.small.task import SmallTask
from tokenizers import Tokenizer
from torch import Tensor

NAMES = ["amber", "birch", "cedar", "delta", "ember", "flint", "grove", "haven", "iris", "jade"]
CODES = ["seven", "eight", "nine", "ten", "eleven", "twelve", "thirty", "forty", "fifty", "sixty"]

Rows = list[dict[str, float]]


def world() -> TrainingSet:
    """Each passage gives a name its number; a question asks one of them, or goes on from it."""
    passages = [
        Passage(f"p{i}", "codes", name.title(), f"The number of {name} is {code} in the list.")
        for i, (name, code) in enumerate(zip(NAMES, CODES, strict=True))
    ]
    single = [
        Question(
            id=f"q{i}", dataset="codes", question=f"What is the number of {name}?",
            answers=(code,), evidence=(f"p{i}",), every=False, router_ok=True, gen_ok=True, type="",
        )
        for i, (name, code) in enumerate(zip(NAMES, CODES, strict=True))
    ]  # fmt: skip
    double = [
        Question(
            id=f"d{i}", dataset="pairs", question=f"What are the numbers of {a} and {b}?",
            answers=(CODES[i + 1],), evidence=(f"p{i}", f"p{i + 1}"), every=True, router_ok=True,
            gen_ok=True, type="",
        )
        for i, (a, b) in enumerate(pairwise(NAMES))
    ]  # fmt: skip
    return TrainingSet(tuple(passages), tuple(single + double))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small are slower on two, and stand still where others want the processor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def words() -> Tokenizer:
    found = Tokenizer.from_file(str(DEFAULT_MODEL / "tokenizer.json"))
    found.no_truncation()
    found.no_padding()
    return found


def tiny_network() -> MemoryNetwork:
    torch.manual_seed(0)
    backbone = {
        "vocab_size": 30522, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 128,
    }  # fmt: skip
    config = MemoryConfig(
        backbone=backbone, pool_size=8, path_tokens=112, shared_layers=1, router_width=32,
        lexical_layers=2, head_width=8,
    )  # fmt: skip
    network = MemoryNetwork(config)
    network.router.word_weight.weight.data.fill_(1.0)
    return network


def tiny_task(folder: Path, **changes: object) -> SmallTask:
    network, tokenizer, found = tiny_network(), words(), world()
    options = {
        "questions": 8, "reader_rate": 3e-3, "router_rate": 3e-3, "head_rate": 3e-3, "negatives": 8,
    }  # fmt: skip
    corpus = build_corpus(network, tokenizer, found.passages, folder)
    texts = [p.text for p in found.passages]
    samples = make_samples(found.questions, found.index(), texts.__getitem__, tokenizer)
    training = SmallTraining(**(options | changes))  # type: ignore[arg-type]
    return SmallTask(network, tokenizer, corpus, samples, training)


def run(
    task: SmallTask, folder: Path, steps: int, until: int | None = None
) -> list[dict[str, float]]:
    options = LoopOptions(steps=steps, minutes=None, warmup=2, seed=1, save_every=100, bf16=False)
    Loop(task, options, folder).run(until)
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def mean(rows: Rows, name: str) -> float:
    return sum(r[name] for r in rows) / len(rows)


def test_positives_do_not_compete_with_one_another() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.3]])
    both = torch.tensor([[True, True, False]])
    none = torch.zeros(1, 3, dtype=torch.bool)
    expected = [torch.log1p(torch.exp(torch.tensor((0.3 - s) / 0.1))) for s in (0.9, 0.1)]
    loss = routing_loss(scores, both, none, 0.1)
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_ignored_documents_are_no_negatives() -> None:
    scores = torch.tensor([[0.9, 5.0, 0.3]])
    positive = torch.tensor([[True, False, False]])
    ignored = torch.tensor([[False, True, False]])
    with_it = routing_loss(scores, positive, ignored, 0.1)
    without = routing_loss(scores[:, [0, 2]], positive[:, [0, 2]], ignored[:, [0, 2]], 0.1)
    torch.testing.assert_close(with_it, without)


def test_a_chain_may_be_entered_by_its_easiest_passage() -> None:
    others = torch.tensor([[0.5, 0.9]])
    own = torch.tensor([[False, True]])  # the second is one of the chain's own
    either = [torch.tensor([0.9, -0.9])]
    easy, hit = chain_loss(either, others, own, 0.1, easiest=1.0)
    both, _ = chain_loss(either, others, own, 0.1, easiest=0.0)
    assert hit.item() == 1
    assert easy.item() < 0.05
    assert both.item() == pytest.approx((easy.item() + 14.0) / 2, rel=1e-3)


def test_any_of_the_answer_spans_satisfies_the_pointer() -> None:
    start = torch.full((1, 6), -20.0)
    end = torch.full((1, 6), -20.0)
    start[0, 4] = end[0, 5] = 20.0
    either = span_loss(start, end, torch.tensor([[1, 4]]), torch.tensor([[2, 5]]))
    wrong = span_loss(start, end, torch.tensor([[1, -1]]), torch.tensor([[2, -1]]))
    nothing = span_loss(start, end, torch.tensor([[-1, -1]]), torch.tensor([[-1, -1]]))
    assert either.item() < 1e-3
    assert wrong.item() > 10
    assert nothing.item() == 0


def test_every_occurrence_of_an_answer_is_found() -> None:
    assert answer_spans("Ann met ann.", ["Ann"]) == ((0, 3), (8, 11))
    assert answer_spans("nothing here", ["Ann", ""]) == ()


def test_a_path_says_what_it_holds(tmp_path: Path) -> None:
    task = tiny_task(tmp_path)
    corpus, rng = task.module._corpus, random.Random(0)
    found = world()
    texts = [p.text for p in found.passages]
    pair = make_samples(found.questions[10:11], found.index(), texts.__getitem__, words())[0]
    maker = PathMaker(corpus, 112)
    half, whole, astray = (maker.make(0, pair, read, rng) for read in ((0,), (0, 1), (0, 5)))
    assert (half.relevant, half.complete, half.spans) == (1, 0, ())
    assert (whole.relevant, whole.complete) == (1, 1)
    assert (astray.relevant, astray.complete) == (0, 0)
    first, last = whole.spans[0]
    assert words().decode(whole.row.ids[first : last + 1]) == "eight"
    assert token_spans(whole.row, [(), ((23, 28),)])


def test_a_mix_goes_through_a_set_before_it_repeats_and_repeats_itself_exactly() -> None:
    found = world()
    texts = [p.text for p in found.passages]
    samples = make_samples(found.questions, found.index(), texts.__getitem__, words())
    one, other = (Mix(samples, {"codes": 1.0, "pairs": 1.0}, seed=4) for _ in range(2))
    drawn = [one.at(n) for n in range(40_000)]
    assert drawn[39_000] is other.at(39_000)
    counts = {id(s): sum(d is s for d in drawn[:16384]) for s in samples if s.dataset == "codes"}
    assert max(counts.values()) - min(counts.values()) <= 1
    shares = sum(d.dataset == "pairs" for d in drawn) / len(drawn)
    assert shares == pytest.approx(0.5, abs=0.02)


def test_a_type_of_a_sets_questions_may_have_a_weight_of_its_own() -> None:
    found = world()
    kinds = [
        replace(q, type="late" if n % 3 else "early") if q.dataset == "codes" else q
        for n, q in enumerate(found.questions)
    ]
    texts = [p.text for p in found.passages]
    weights = {"codes/late": 2.0, "codes": 1.0, "pairs": 1.0}
    samples = make_samples(kinds, found.index(), texts.__getitem__, words(), weights)
    mix = Mix(samples, weights, seed=4)
    drawn = Counter(mix.at(n).dataset for n in range(16_384))
    assert drawn == {"codes/late": 8192, "codes": 4096, "pairs": 4096}
    assert Counter(s.dataset for s in samples) == {"codes/late": 6, "codes": 4, "pairs": 9}


def test_a_weight_of_nothing_that_is_there_is_refused(tmp_path: Path) -> None:
    for name in ("codes/never", "nowhere"):
        with pytest.raises(ValueError, match=f"no data set '{name}'"):
            small_task(world(), tmp_path, SmallTraining(weights={name: 1.0}))


def test_a_tiny_model_learns_to_route_and_to_point(tmp_path: Path) -> None:
    rows = run(tiny_task(tmp_path), tmp_path, 60)
    assert mean(rows[-5:], "span") < mean(rows[:3], "span") / 2
    assert mean(rows[-5:], "relevant") < mean(rows[:3], "relevant")
    assert all(r["routing"] < 20 for r in rows)


def test_stages_weigh_routing_against_reading(tmp_path: Path) -> None:
    for stage, routing, reading in (("warmup", 1.0, 0.1), ("main", 0.5, 1.0), ("sft", 0.1, 1.0)):
        (row,) = run(tiny_task(tmp_path, stage=stage), tmp_path / stage, 1)
        read = row["span"] + row["relevant"] + row["complete"]
        assert row["loss"] == pytest.approx(routing * row["routing"] + reading * read, rel=1e-3)


@pytest.mark.parametrize("chance", [{}, {"dropout": 0.3, "masked": 0.2}])
def test_a_stopped_run_goes_on_to_the_same_losses(chance: dict[str, float], tmp_path: Path) -> None:
    whole = run(tiny_task(tmp_path, **chance), tmp_path / "whole", 8)
    run(tiny_task(tmp_path, **chance), tmp_path / "parts", 8, until=4)
    torch.manual_seed(99)  # a new process would not share the generator's state
    parts = run(tiny_task(tmp_path, **chance), tmp_path / "parts", 8)
    assert [r["loss"] for r in parts] == [r["loss"] for r in whole]


def test_what_documents_are_encoded_by_is_not_trained(tmp_path: Path) -> None:
    task = tiny_task(tmp_path)
    before = {n: p.detach().clone() for n, p in task.network.named_parameters()}
    run(task, tmp_path, 3)
    changed = {n for n, p in task.network.named_parameters() if not torch.equal(p, before[n])}
    frozen = ("encoder.", "router.word_weight", "reader.encoder.layer.0.")
    assert not [n for n in changed if n.startswith(frozen)]
    for part in ("reader.encoder.layer.1.", "router.", "memory.", "pointer."):
        assert any(n.startswith(part) for n in changed)


def test_routing_alone_leaves_the_reader_of_answers_as_it_was(tmp_path: Path) -> None:
    task = tiny_task(tmp_path, reading=False)
    run(task, tmp_path, 2)
    task.export(tmp_path / "out")
    model = SmallMemoryModel(tmp_path / "out")
    network, _, identity = load_checkpoint(tmp_path / "out")
    assert identity == model.identity
    fresh = tiny_network().pointer.start_end.weight.detach()
    torch.testing.assert_close(network.pointer.start_end.weight.float(), fresh, atol=1e-2, rtol=0)


def test_the_states_of_passages_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, passages = tiny_network(), world().passages
    encoded: list[int] = []
    whole = MemoryNetwork.states

    def watched(self: MemoryNetwork, ids: Tensor, mask: Tensor) -> Tensor:
        encoded.append(len(ids))
        return whole(self, ids, mask)

    monkeypatch.setattr(MemoryNetwork, "states", watched)
    some = build_corpus(network, words(), passages[2:6], tmp_path)
    assert sum(encoded) == 4
    every = build_corpus(network, words(), passages, tmp_path)
    assert sum(encoded) == len(passages)
    again = build_corpus(network, words(), [*passages[4:6], *passages[2:4]], tmp_path)
    assert sum(encoded) == len(passages)
    half = int(some.first[2])
    torch.testing.assert_close(torch.cat((again.pooled[-half:], again.pooled[:-half])), some.pooled)
    first, last = int(every.first[2]), int(every.first[6])
    torch.testing.assert_close(every.pooled[first:last], some.pooled)


def test_states_of_another_encoder_are_not_taken(tmp_path: Path) -> None:
    network, passages = tiny_network(), world().passages
    first = build_corpus(network, words(), passages, tmp_path)
    with torch.no_grad():
        next(network.encoder.encoder.parameters()).mul_(2)
    again = build_corpus(network, words(), passages, tmp_path)
    assert not torch.equal(again.pooled, first.pooled)
