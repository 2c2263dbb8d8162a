"""Several processes train one decoder: the documents of each are negatives of all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from memsvc_router.training.decoder.task import DecoderTask
from torch import distributed
from torch.multiprocessing.spawn import spawn
from torch.nn.functional import pad

from tests.train_decoder_support import small, task_of

LAYER = 3  # the only router layer, so that no memory stands between a question and its scores


def of_two(folder: Path) -> DecoderTask:
    return task_of(folder, small(questions=2), msa={"router_layer_idx": str(LAYER)})


def run_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    task = of_two(folder)
    batch = task.batch(0, rank, 2)
    losses = task.module(batch)
    losses["aux"].backward()
    run, _ = task.module.ask(
        batch.asked,
        task.module.encode(batch.documents),
        batch.documents.document_of_chunk,
        torch.tensor([0]),
    )
    keys = task.module.network.get_parameter(
        f"model.layers.{LAYER}.self_attn.router_k_proj.0.weight"
    )
    found = {"scores": run.scores[LAYER].detach(), "gradient": keys.grad}
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_documents_of_other_ranks_are_scored_as_if_they_were_ones_own(tmp_path: Path) -> None:
    task = of_two(tmp_path)
    batches = [task.batch(0, rank, 2) for rank in (0, 1)]
    spawn(run_rank, (tmp_path,), nprocs=2)
    for rank, (own, other) in enumerate((batches, batches[::-1])):
        told = torch.load(tmp_path / f"{rank}.pt")
        assert told["gradient"].abs().sum() > 0
        here, there = (task.module.encode(batch.documents) for batch in (own, other))
        for kept, more in ((here.routing, there.routing), (here.content, there.content)):
            kept[LAYER] = torch.cat((kept[LAYER], more[LAYER]))
        shift = own.documents.documents
        chunks = (own.documents.document_of_chunk, other.documents.document_of_chunk + shift)
        asked = replace(
            own.asked,
            positive=pad(own.asked.positive, (0, other.documents.documents)),
            passage=torch.cat((own.asked.passage, other.asked.passage)),
        )
        run, _ = task.module.ask(asked, here, torch.cat(chunks), torch.tensor([0]))
        torch.testing.assert_close(told["scores"], run.scores[LAYER], atol=1e-5, rtol=1e-4)
