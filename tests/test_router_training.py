"""Training: the losses mean what the paper says, runs learn, resume and repeat exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from memsvc_router.config import MemoryConfig
from memsvc_router.network import MemoryNetwork
from memsvc_router.texts import Piece
from memsvc_router.training.batches import Collator, Limits
from memsvc_router.training.data import Example, Passages, answer_spans, read_jsonl
from memsvc_router.training.losses import routing_loss, span_loss
from memsvc_router.training.trainer import Trainer, TrainOptions

TINY = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}


def tiny_network() -> MemoryNetwork:
    torch.manual_seed(0)
    return MemoryNetwork(
        MemoryConfig(
            backbone=dict(TINY), pool_size=8, router_layers=(0, 2), router_width=32, head_width=8
        )
    )


def tiny_task() -> tuple[Collator, list[Example]]:
    """Each passage holds one name token and, after it, the answer; questions give the name."""

    def piece(ids: list[int]) -> Piece:
        return Piece(ids, [(i * 2, i * 2 + 1) for i in range(len(ids))])

    texts = [piece([150 + n % 7, 110 + n, 200 + n, 160 + n % 5]) for n in range(12)]
    collator = Collator(
        Passages([piece([]) for _ in texts], texts), Limits(window=16, path=48, pool_size=8)
    )
    examples = [
        Example(piece([110 + n]), (n,), ((4, 5),), ((n + 1) % 12,), True) for n in range(12)
    ]
    return collator, examples


def options(**changes: object) -> TrainOptions:
    base: dict[str, object] = {
        "questions": 12, "steps": 40, "warmup": 2, "routing_every": 1, "frozen_layers": 0,
        "save_every": 4,
        "backbone_rate": 3e-3, "router_rate": 3e-3, "new_rate": 3e-3,
    }  # fmt: skip
    return TrainOptions(**(base | changes))  # type: ignore[arg-type]


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def steps(trainer: Trainer, examples: list[Example], count: int) -> None:
    trainer.run(examples, max_steps=count)


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


def test_a_tiny_model_learns_to_route_and_to_point(tmp_path: Path) -> None:
    collator, examples = tiny_task()
    trainer = Trainer(tiny_network(), collator, options(), tmp_path)
    steps(trainer, examples, 40)
    rows = losses(tmp_path)
    assert rows[-1]["routing"] < rows[0]["routing"] / 4
    assert rows[-1]["span"] < rows[0]["span"] / 4


def test_a_stopped_run_goes_on_to_the_same_losses(tmp_path: Path) -> None:
    collator, examples = tiny_task()
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    steps(Trainer(tiny_network(), collator, options(), whole), examples, 8)
    steps(Trainer(tiny_network(), collator, options(), parts), examples, 4)
    torch.manual_seed(99)  # a new process would not share the generator's state
    steps(Trainer(tiny_network(), collator, options(), parts), examples, 8)
    a, b = losses(whole), losses(parts)
    assert [r["step"] for r in b] == [r["step"] for r in a]
    for one, other in zip(a, b, strict=True):
        assert one["span"] == pytest.approx(other["span"], rel=1e-3)
        assert one["found"] == pytest.approx(other["found"], rel=1e-3)


def test_every_occurrence_of_an_answer_is_found() -> None:
    assert answer_spans("Ann met ann.", ["Ann"]) == ((0, 3), (8, 11))
    assert answer_spans("nothing here", ["Ann", ""]) == ()


def test_a_malformed_line_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"id": 1}\n{oops\n')
    with pytest.raises(ValueError, match=r"bad\.jsonl:2"):
        list(read_jsonl(path))
