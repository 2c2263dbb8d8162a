"""Training a decoder: stages and modes, what they change, what comes out, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from memsvc_router.decoder.loading import is_router, load_decoder
from memsvc_router.models import load_model
from memsvc_router.training.decoder.module import Batch
from memsvc_router.training.decoder.options import DecoderTraining
from memsvc_router.training.decoder.task import DecoderTask, decoder_task
from memsvc_router.training.loop import Loop, LoopOptions
from memsvc_router.training.rows import DataError, TrainingSet

from tests.asking_support import asked, bank
from tests.decoder_support import FAMILIES, make_checkpoint, make_published
from tests.train_decoder_support import PASSAGES, QUESTIONS, SET, question, small, task_of

STEPS = LoopOptions(steps=12, minutes=None, warmup=1, seed=0, save_every=100, bf16=False)


def weights(task: DecoderTask) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in task.module.named_parameters()}


def changed(task: DecoderTask, before: dict[str, torch.Tensor]) -> set[str]:
    return {n for n, p in task.module.named_parameters() if not torch.equal(p, before[n])}


def aims(task: DecoderTask) -> dict[str, float]:
    with torch.no_grad():
        return {name: float(value) for name, value in task.module(task.batch(0, 0, 1)).items()}


@pytest.mark.parametrize("stage", ["warmup", "main", "sft"])
def test_each_stage_lowers_its_loss(stage: Any, tmp_path: Path) -> None:
    task = task_of(tmp_path, small(stage=stage, context=(64, 128), context_steps=12))
    before = aims(task)
    Loop(task, STEPS, tmp_path / "work").run()
    after = aims(task)
    assert after["loss"] < before["loss"]
    lm, aux = {"warmup": (0.1, 1.0)}.get(stage, (1.0, 0.1))
    assert after["loss"] == pytest.approx(lm * after["lm"] + aux * after["aux"], rel=1e-4)


def test_bf16_lowers_the_loss_and_keeps_weights_in_fp32(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    before = aims(task)
    Loop(task, replace(STEPS, bf16=True), tmp_path / "work").run()
    assert aims(task)["loss"] < before["loss"]
    assert {p.dtype for p in task.module.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    "options",
    [
        small(),
        small(mode="lora"),
        small(mode="router"),
        small(mode="full", stage="warmup", freeze_backbone=True),
    ],
    ids=["full", "lora", "router", "frozen"],
)
def test_each_mode_changes_what_it_says_and_nothing_else(
    options: DecoderTraining, tmp_path: Path
) -> None:
    task = task_of(tmp_path, options)
    before = weights(task)
    Loop(task, STEPS, tmp_path / "work").run()
    moved = changed(task, before)
    routers = {name for name in before if is_router(name)}
    assert routers <= moved
    if options.mode == "lora":
        assert all("lora_" in name for name in moved - routers)
        assert any("lora_" in name for name in moved)
    else:
        frozen = options.mode == "router" or options.freeze_backbone
        assert moved == (routers if frozen else set(before))


@pytest.mark.parametrize("mode", ["full", "lora", "router"])
def test_what_is_exported_is_what_was_trained(mode: Any, tmp_path: Path) -> None:
    task = task_of(tmp_path, small(mode=mode))
    Loop(task, STEPS, tmp_path / "work").run()
    task.export(tmp_path / "out")
    again = decoder_task(tmp_path / "out", SET, None, small())
    assert aims(again) == pytest.approx(aims(task), rel=1e-3)
    made: Any = load_model(str(tmp_path / "out"))
    assert made.identity != load_decoder(tmp_path / "msa").identity
    assert asked(made, bank(made), "Where was Marie Curie born?")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_written_back_under_its_own_names(family: str, tmp_path: Path) -> None:
    task = task_of(tmp_path, family=family)
    task.export(tmp_path / "out")
    task.export(tmp_path / "out")  # over what is there
    assert load_decoder(tmp_path / "out").identity.weights_digest == (
        load_decoder(tmp_path / "msa").identity.weights_digest
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["msa", "out"]


def test_checkpointing_gives_the_same_gradients(tmp_path: Path) -> None:
    found = []
    for saving in (False, True):
        task = task_of(tmp_path, small(gradient_checkpointing=saving))
        task.module(task.batch(0, 0, 1))["loss"].backward()
        found.append({n: p.grad for n, p in task.module.named_parameters()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-4)


def test_a_seed_gives_the_same_run_again(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        task = task_of(tmp_path, small())
        Loop(task, STEPS, tmp_path / name).run()
        runs.append(weights(task))
    assert all(torch.equal(runs[1][name], value) for name, value in runs[0].items())


def test_ranks_draw_other_questions_and_steps_other_numbers(tmp_path: Path) -> None:
    task = task_of(tmp_path, small(questions=2))
    first, second = (task.batch(0, rank, 2).asked.evidence for rank in (0, 1))
    assert not set(first.flatten().tolist()) & set(second.flatten().tolist()) - {-1, 3}
    epochs = [task.batch(step, 0, 1) for step in range(0, 6, 2)]
    assert len({tuple(batch.documents.ids.flatten().tolist()) for batch in epochs}) == 3
    again = task_of(tmp_path, small(questions=2)).batch(4, 0, 1)
    assert torch.equal(again.documents.ids, epochs[2].documents.ids)
    assert all(torch.equal(*pair) for pair in zip(tensors(again), tensors(epochs[2]), strict=True))


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [getattr(batch.asked, field.name) for field in fields(batch.asked)]


def test_documents_of_another_set_do_not_join_while_there_are_enough(tmp_path: Path) -> None:
    strangers = tuple(replace(p, id=f"x{p.id}", dataset="others") for p in PASSAGES)
    data = TrainingSet((*strangers, *PASSAGES), QUESTIONS)
    task = task_of(tmp_path, small(questions=2), data)
    for step in range(4):
        assert int(task.batch(step, 0, 1).asked.passage.min()) >= len(strangers)


def test_mined_negatives_stand_in_the_pool(tmp_path: Path) -> None:
    mined = [[7], [7], [6], [5]]
    make_published(tmp_path)
    task = decoder_task(tmp_path / "msa", SET, mined, small())
    assert {5, 6, 7} <= set(task.batch(0, 0, 1).asked.passage.tolist())
    with pytest.raises(ValueError, match="negatives: expected those of 4 questions, got 1"):
        decoder_task(tmp_path / "msa", SET, mined[:1], small())


def test_any_of_several_passages_will_do(tmp_path: Path) -> None:
    """Each is a positive, none a negative, and only one is named."""
    one = question("any", "Which town lies on a river?", "Rome", "rome", "warsaw", every=False)
    task = task_of(tmp_path, small(questions=1), TrainingSet(PASSAGES, (one,)))
    batches = [task.batch(step, 0, 1).asked for step in range(12)]
    named = [found for found in batches if found.positive.any()]
    assert named
    for found in named:
        evidence = {found.passage[i].item() for i in found.positive[0].nonzero().flatten()}
        assert evidence == {1, 4}
        assert int((found.wanted[0] >= 0).sum()) == 1


def test_the_context_of_sft_grows(tmp_path: Path) -> None:
    options = small(stage="sft", context=(64, 256), context_steps=30)
    assert [options.context_at(step) for step in (0, 9, 10, 20, 99)] == [64, 64, 128, 256, 256]
    brief = tuple(passage for passage in PASSAGES if passage.id != "bread")
    task = task_of(tmp_path, replace(options, questions=1), TrainingSet(brief, QUESTIONS[:1]))
    short, long = (task.batch(step, 0, 1).documents.documents for step in (0, 29))
    assert short < long


def refused(folder: Path, match: str, options: DecoderTraining | None = None) -> None:
    with pytest.raises(ValueError, match=match):
        decoder_task(folder, SET, None, options or small())


def test_checkpoints_that_cannot_be_trained_are_refused(tmp_path: Path) -> None:
    refused(make_checkpoint(tmp_path, "qwen3"), "without routers; `memsvc model init")
    other = make_published(tmp_path / "bce", msa={"aux_loss_method": "BCE"})
    refused(other, "aux_loss_method is 'BCE'; routing is trained by INFONCE")
    shared = make_published(tmp_path / "shared", msa={"decouple_router": False})
    refused(shared, "decouple_router: false", small(mode="router"))
    assert decoder_task(shared, SET, None, small(mode="lora"))


def test_rows_that_cannot_teach_are_refused(tmp_path: Path) -> None:
    gone = question("gone", "Who?", "Rome", "atlantis")
    with pytest.raises(DataError, match=r"question gone: its evidence .*atlantis.* is not among"):
        task_of(tmp_path, data=TrainingSet(PASSAGES, (gone,)))
    long = question("long", "Why? " * 400, "Rome", "rome")
    with pytest.raises(DataError, match=r"question long: .* max_tokens, 512; raise that"):
        task_of(tmp_path, data=TrainingSet(PASSAGES, (long,)))
    with pytest.raises(DataError, match="has no questions"):
        task_of(tmp_path, data=TrainingSet(PASSAGES, ()))
    alone = replace(QUESTIONS[2], evidence=("paris",))
    with pytest.raises(DataError, match="nothing to choose from"):
        task_of(tmp_path, data=TrainingSet(PASSAGES[:1], (alone,)))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"stage": "third"}, "stage: expected one of"),
        ({"questions": 0}, "questions: must be at least 1, got 0"),
        ({"rate": 0.0}, "rate: must be above 0"),
        ({"context": (9, 3)}, "context: expected two growing"),
        ({"freeze_backbone": True, "stage": "main"}, "freeze_backbone: is for the stage warmup"),
    ],
)
def test_wrong_options_are_named(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        small(**wrong)


def test_the_tokenizer_and_config_are_those_of_the_base(tmp_path: Path) -> None:
    task_of(tmp_path).export(tmp_path / "out")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "msa" / name).read_bytes()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "msa"
