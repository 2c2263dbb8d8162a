"""What a step of the small model computes (MSA §5; MODEL.md, facts 5-6).

A step asks some questions. Each is routed over the whole corpus; a chain of passages is cut
anywhere; then the next passage, or a look-alike that routing itself put in front, is read. Every
forward says where to look next, whether the last text matters, whether all is there, and where
the answer stands. Knows the network and a corpus; nothing of files or optimizers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from memsvc_router.batching import by_length
from memsvc_router.network import MemoryNetwork, Pointed
from memsvc_router.precision import compute_dtype
from memsvc_router.training.losses import chain_loss, span_loss
from memsvc_router.training.small.corpus import Corpus
from memsvc_router.training.small.options import STAGES, SmallTraining
from memsvc_router.training.small.paths import PathBatch, PathMaker, ReadPath, pad_paths
from memsvc_router.training.small.samples import Sample

_BATCH_TOKENS = 1536  # half the padding of 3,072, and products as fast (dev/LOG.md, M4)


@dataclass(frozen=True)
class Asked:
    """The questions of a step, and the seed of its chance."""

    samples: list[Sample]
    seed: str

    def to(self, device: torch.device) -> Asked:
        """Nothing to move: tensors are made where the network is."""
        del device
        return self


@dataclass
class _Sums:
    """Loss terms of one step: sums and counts."""

    total: dict[str, Tensor] = field(default_factory=dict)
    count: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: Tensor, count: float) -> None:
        self.total[name] = self.total.get(name, value.new_zeros(())) + value
        self.count[name] = self.count.get(name, 0.0) + count

    def means(self) -> dict[str, Tensor]:
        return {n: self.total[n] / max(self.count[n], 1.0) for n in self.total}


class SmallModule(nn.Module):
    """The network with its losses: `module(asked)` -> the mapping that `training.loop` takes."""

    def __init__(self, network: MemoryNetwork, corpus: Corpus, options: SmallTraining) -> None:
        super().__init__()
        self.network, self.options = network, options
        self._corpus = corpus
        self._paths = PathMaker(corpus, network.config.path_tokens, options.masked)

    def forward(self, asked: Asked) -> dict[str, Tensor]:
        """Losses of one step."""
        rng = random.Random(asked.seed)
        sums = _Sums()
        weights = {n: p.to(compute_dtype()) for n, p in self._trained()}
        alone = [self._paths.make(i, s, (), rng) for i, s in enumerate(asked.samples)]
        near, order = self._run(weights, alone, None, asked.samples, sums)
        if self.options.reading:
            self._read_chains(weights, asked.samples, near, order, rng, sums)
        means = sums.means()
        zero = means["routing"].new_zeros(())
        names = ("routing", "span", "relevant", "complete")
        found = {name: means.get(name, zero) for name in names}
        routing, reading = STAGES[self.options.stage]
        loss = routing * found["routing"] + reading * sum(found[name] for name in names[1:])
        return {"loss": loss, **found, "hit": means.get("hit", zero)}

    def _read_chains(
        self,
        weights: dict[str, Tensor],
        samples: Sequence[Sample],
        near: Tensor,
        order: list[list[int]],
        rng: random.Random,
        sums: _Sums,
    ) -> None:
        """Cut every chain somewhere, read up to there, then read one passage more."""
        cuts = [rng.randrange(len(s.golds)) if s.every else 0 for s in samples]
        before = [self._prefix(s, o, c, rng) for s, o, c in zip(samples, order, cuts, strict=True)]
        begun = [i for i, read in enumerate(before) if read]
        if begun:
            paths = [self._paths.make(i, samples[i], before[i], rng) for i in begun]
            found, further = self._run(weights, paths, near, samples, sums)
            near = near.clone()
            near[begun] = found
            for i, own in zip(begun, further, strict=True):
                order[i] = own
        paths = []
        for i, sample in enumerate(samples):
            right = [g for g in order[i] if g not in before[i]][:1]
            paths += [self._paths.make(i, sample, (*before[i], g), rng) for g in right]
            wrong = self._look_alikes(sample, near[i].tolist())
            if wrong and (sample.every or rng.random() < self.options.look_alikes):
                paths.append(self._paths.make(i, sample, (*before[i], rng.choice(wrong)), rng))
        self._run(weights, paths, near, samples, sums)

    def _look_alikes(self, sample: Sample, near: list[int]) -> list[int]:
        """What routing puts in front and is not right, so far as one can tell."""
        if not sample.routable:
            return []
        low = self._corpus.low
        wrong = [n for n in near if n >= 0 and n not in sample.golds]
        fair = [n for n in wrong if not any(a in low[n] for a in sample.answers)]
        return fair[: self.options.look_among]

    @staticmethod
    def _prefix(sample: Sample, order: list[int], cut: int, rng: random.Random) -> list[int]:
        """The first passages of a chain: mostly as routing finds them, sometimes as listed."""
        golds = order if rng.random() < 0.7 else list(sample.golds)
        return golds[:cut]

    def _run(
        self,
        weights: dict[str, Tensor],
        paths: Sequence[ReadPath],
        near: Tensor | None,
        samples: Sequence[Sample],
        sums: _Sums,
    ) -> tuple[Tensor, list[list[int]]]:
        """Forward paths and add their losses. Returns the documents each routes to, int64
        [B, near] (-1 pads), and each question's golds, most easily found first."""
        queries: list[Tensor] = [torch.empty(0)] * len(paths)
        for some in by_length([len(p.row.ids) for p in paths], _BATCH_TOKENS):
            these = [paths[i] for i in some]
            batch = pad_paths(these)
            told, asked = self._forward(weights, these, batch, near)
            if near is not None:
                _judge(batch, told, sums)
            for i, query in zip(some, asked, strict=True):
                queries[i] = query
        return self._route(torch.stack(queries), paths, samples, sums)

    def _forward(
        self,
        weights: dict[str, Tensor],
        paths: Sequence[ReadPath],
        batch: PathBatch,
        near: Tensor | None,
    ) -> tuple[Pointed, Tensor]:
        nothing = torch.full((len(paths), 1), -1)
        seen = nothing if near is None else near[[p.sample for p in paths]]
        pooled, slots, entries = self._memory(seen)
        b = batch.batch
        queries, told = torch.func.functional_call(
            self.network, weights, (b.ids, b.mask, b.types, pooled, slots, entries)
        )
        return told, queries

    def _memory(self, documents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pooled states of documents [B, K] (-1: none) with their slots and real entries."""
        corpus = self._corpus
        rows = [
            [
                (slot, c)
                for slot, n in enumerate(row)
                if n >= 0
                for c in corpus.chunks_of(n).tolist()
            ]
            for row in documents.tolist()
        ]
        most = max(max(len(r) for r in rows), 1)
        slots = torch.zeros(len(rows), most, dtype=torch.long)
        chunks, entries = torch.zeros_like(slots), torch.zeros(len(rows), most, dtype=torch.bool)
        for at, row in enumerate(rows):
            if row:
                slots[at, : len(row)], chunks[at, : len(row)] = torch.tensor(row).T
                entries[at, : len(row)] = True
        return corpus.pooled[chunks].to(compute_dtype()), slots, entries

    def _route(
        self,
        queries: Tensor,
        paths: Sequence[ReadPath],
        samples: Sequence[Sample],
        sums: _Sums,
    ) -> tuple[Tensor, list[list[int]]]:
        """Route paths over the corpus; add the loss of those that have passages left to find."""
        corpus, options = self._corpus, self.options
        best = corpus.route(queries.detach(), options.negatives)
        owners = corpus.passage[best]
        wanted = [self._wanted(p, samples[p.sample]) for p in paths]
        order = []
        rows, scores, kinds = [], [], []
        for at, (path, golds) in enumerate(zip(paths, wanted, strict=True)):
            mine = samples[path.sample].golds
            marks = [
                corpus.score(queries[at : at + 1], corpus.chunks_of(g)[None]).max() for g in golds
            ]
            easy = sorted(range(len(golds)), key=[-float(m.detach()) for m in marks].__getitem__)
            order.append([golds[i] for i in easy])
            if golds and samples[path.sample].routable:
                rows.append(at)
                scores.append(torch.stack(marks))
                kinds.append(torch.isin(owners[at], torch.tensor(mine)))
        if rows:
            others = corpus.score(queries[rows], best[rows])
            own = torch.stack(kinds)
            loss, hits = chain_loss(scores, others, own, options.temperature, options.easiest)
            sums.add("routing", loss.sum(), len(rows))
            sums.add("hit", hits.sum(), len(rows))
        return _distinct(owners, options.near), order

    @staticmethod
    def _wanted(path: ReadPath, sample: Sample) -> list[int]:
        """Passages that a path has yet to find; none where it went astray or has all."""
        if path.read and (path.read[-1] not in sample.golds or sample.complete(path.read)):
            return []
        return [g for g in sample.golds if g not in path.read]

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        return [(n, p) for n, p in self.network.named_parameters() if p.requires_grad]


def _judge(batch: PathBatch, told: Pointed, sums: _Sums) -> None:
    """Losses of what was read: the span, whether the last text matters, whether all is there."""
    blocked = ~batch.choosable
    start, end = told.start.masked_fill(blocked, -1e9), told.end.masked_fill(blocked, -1e9)
    spans = span_loss(start, end, batch.firsts, batch.lasts)
    sums.add("span", spans.sum(), float((batch.firsts[:, 0] >= 0).sum()))
    for name, logit, label in (
        ("relevant", told.relevant, batch.relevant),
        ("complete", told.complete, batch.complete),
    ):
        known = label >= 0
        each = nn.functional.binary_cross_entropy_with_logits(
            logit[known], label[known].float(), reduction="sum"
        )
        sums.add(name, each, float(known.sum()))


def _distinct(owners: Tensor, k: int) -> Tensor:
    """The first k distinct documents of each row [B, N] -> [B, k], -1 pads."""
    found = torch.full((len(owners), k), -1)
    for at, row in enumerate(owners.tolist()):
        some = list(dict.fromkeys(row))[:k]
        found[at, : len(some)] = torch.tensor(some)
    return found
