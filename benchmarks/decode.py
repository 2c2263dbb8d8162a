"""Decoding with memory: one step against cat + repeat_kv, many questions against one after another,
and what a second hop costs. `python -m benchmarks.decode`; both sides of a ratio in one run.

Weights are random: what is measured is work, not answers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import torch
from memsvc_kernels import attend_rows
from memsvc_router import ResidentMemory
from memsvc_router.api import DocumentText
from memsvc_router.decoder.caches import LayerCache
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.state import Feed, QuestionState
from torch import Tensor

from benchmarks.random_decoder import random_decoder

_MEMORY = 2048
_STEPS = 32
_QUESTIONS = 8
_APPENDED = 512
_QUESTION = 64
_REPEATS = 5

Report = dict[str, float]


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    with torch.inference_mode():
        report: dict[str, object] = {"attention_step": attention_step()}
        made = random_decoder()
        report["parameters"] = sum(p.numel() for p in made.decoder.network.parameters())
        report["concurrency"] = concurrency(made)
        report["second_hop"] = second_hop(made)
    print(json.dumps(report, indent=1))


def attention_step(heads: int = 32, groups: int = 8, width: int = 128) -> Report:
    """One layer's decode step over a memory of 2,048 entries, at MSA-4B's shape, in bf16."""
    token = torch.randn(heads, 1, width, dtype=torch.bfloat16)
    new = torch.randn(2, groups, 1, width, dtype=torch.bfloat16)
    memory = torch.randn(2, groups, _MEMORY, width, dtype=torch.bfloat16)
    prefix = torch.randn(2, groups, 3, width, dtype=torch.bfloat16)
    cache = LayerCache((prefix[0], prefix[1]), 512)
    cache.remember(memory[0], memory[1])

    def ours() -> Iterator[Tensor]:
        for at in range(_STEPS):
            cache.write(at, new[0], new[1])
            yield attend_rows(token, *cache.seen(at + 1), None, width**-0.5)

    def plain() -> Iterator[Tensor]:
        keys, values = (torch.cat(pair, 1) for pair in zip(memory, prefix, strict=True))
        for _ in range(_STEPS):
            keys, values = torch.cat((keys, new[0]), 1), torch.cat((values, new[1]), 1)
            full = [x.repeat_interleave(heads // groups, 0) for x in (keys, values)]
            scores = token @ full[0].transpose(1, 2) * width**-0.5
            yield scores.softmax(-1, dtype=torch.float32).to(token.dtype) @ full[1]

    apart = max(float((a - b).abs().max()) for a, b in zip(ours(), plain(), strict=True))
    mine, theirs = _alternate(lambda: list(ours()), lambda: list(plain()))
    return {
        "ours_us": mine / _STEPS * 1e6,
        "cat_repeat_us": theirs / _STEPS * 1e6,
        "ratio": theirs / mine,
        "largest_difference": apart,
    }


def concurrency(made: DecoderMemoryModel) -> Report:
    """Tokens a second of eight questions decoded together, against one after another."""
    memory = bank(made)
    tokens, routed = made.prompts.question("Which of these documents speaks of the harbour?")

    def start() -> list[QuestionState]:
        states = [QuestionState(made.runner.prefix, memory, 16) for _ in range(_QUESTIONS)]
        for state in states:
            made.run([Feed(state, tokens, range(routed))])
        return states

    def together(states: list[QuestionState]) -> None:
        for _ in range(_STEPS):
            made.run([Feed(state, [100]) for state in states])

    def alone(states: list[QuestionState]) -> None:
        for state in states:
            for _ in range(_STEPS):
                made.run([Feed(state, [100])])

    batched, single = start(), start()
    many, one = _alternate(lambda: together(batched), lambda: alone(single))
    said = _QUESTIONS * _STEPS
    return {
        "together_tokens_per_second": said / many,
        "one_by_one_tokens_per_second": said / one,
        "ratio": one / many,
        "memory_entries": float(batched[0].caches[made.config.router_layers[0]].memory),
    }


def second_hop(made: DecoderMemoryModel) -> Report:
    """The round that appends texts and routes anew. Against a forward of those texts by themselves
    (`ratio`), and against one that continues the question without routing (`ratio_in_place`)."""
    memory = bank(made)
    draw = np.random.default_rng(1)
    tokens, words = (draw.integers(300, 2000, n).tolist() for n in (_QUESTION, _APPENDED))

    def seconds(first: bool, routed: range | None) -> float:
        state = QuestionState(made.runner.prefix, memory, 16)
        if first:
            made.run([Feed(state, tokens, range(_QUESTION))])
        began = time.perf_counter()
        made.run([Feed(state, words, routed)])
        return time.perf_counter() - began

    rounds = [
        (seconds(True, range(_APPENDED)), seconds(False, None), seconds(True, None))
        for _ in range(2 * _REPEATS)
    ][1:]
    return {
        "hop_ms": median(hop for hop, _, _ in rounds) * 1e3,
        "bare_forward_ms": median(bare for _, bare, _ in rounds) * 1e3,
        "ratio": median(hop / bare for hop, bare, _ in rounds),
        "ratio_in_place": median(hop / place for hop, _, place in rounds),
        "appended_tokens": float(_APPENDED),
    }


def bank(made: DecoderMemoryModel) -> ResidentMemory:
    """64 documents of about 250 tokens (bytes)."""
    draw = np.random.default_rng(0)
    words = [f"word{n}" for n in range(500)]
    texts = [DocumentText("", " ".join(draw.choice(words, 36)), str(n)) for n in range(64)]
    return ResidentMemory([t.document_id for t in texts], texts, made.encode(texts))


def _alternate(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, measured in turns after one unmeasured round."""
    rounds = []
    for _ in range(_REPEATS + 1):
        times = []
        for work in (ours, theirs):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        rounds.append(times)
    return median(r[0] for r in rounds[1:]), median(r[1] for r in rounds[1:])


if __name__ == "__main__":
    main()
