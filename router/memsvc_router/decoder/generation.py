"""From logits to text: sampling, ids from a set, pieces of an answer. Knows no banks or caches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from torch import Tensor

from memsvc_router.api import Sampling


class Sampler:
    """Picks tokens by a `Sampling`; repeatable where that has a seed."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = torch.Generator()
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed)

    def pick(self, logits: Tensor, allowed: Sequence[int] | None = None) -> tuple[int, float]:
        """A token and its probability. logits fp32 [V]; with `allowed`, one of those tokens."""
        if allowed is not None:
            index = torch.tensor(allowed)
            at, chance = self._choose(logits.cpu()[index])
            return int(index[at]), chance
        return self._choose(logits.cpu())

    def _choose(self, logits: Tensor) -> tuple[int, float]:
        sure = logits.float().softmax(-1)
        if self._sampling.temperature == 0:
            best = int(logits.argmax())
            return best, float(sure[best])
        chances = (logits.float() / self._sampling.temperature).softmax(-1)
        chances = _narrowed(chances, self._sampling.top_k, self._sampling.top_p)
        picked = int(torch.multinomial(chances, 1, generator=self._random))
        return picked, float(sure[picked])


def _narrowed(chances: Tensor, top_k: int, top_p: float) -> Tensor:
    """Without what is beyond the k likeliest or the smallest set that holds `top_p`."""
    ordered, order = chances.sort(descending=True, stable=True)
    kept = torch.ones_like(ordered, dtype=torch.bool)
    if top_k:
        kept[top_k:] = False
    if top_p < 1:
        kept &= ordered.cumsum(0) - ordered < top_p
    return torch.zeros_like(chances).scatter(0, order[kept], ordered[kept])


class Choice:
    """Documents to name, token by token: only those of a set, each at most once (MSA §4).

    A trie over the tokens of `[n]`; after at least one document the list may be closed, before the
    first one retrieval may be ended instead.
    """

    def __init__(
        self, names: Mapping[int, Sequence[int]], close: int, give_up: Sequence[int], most: int
    ) -> None:
        """names: tokens by document number; `close` ends the list, `give_up` ends retrieval."""
        self._names, self._close, self._give_up = dict(names), close, tuple(give_up)
        self._most = most
        self._at: tuple[int, ...] = ()
        self.chosen: list[int] = []
        self.done = self.ended = False

    def allowed(self) -> list[int]:
        """Tokens that may come next."""
        depth = len(self._at)
        nexts = {path[depth] for path in self._open() if path[:depth] == self._at}
        if depth == 0 and self.chosen:
            nexts.add(self._close)
        return sorted(nexts)

    def take(self, token: int) -> None:
        """The next token, one of `allowed`."""
        if not self._at and self.chosen and token == self._close:
            self.done = True
            return
        self._at = (*self._at, token)
        if not self.chosen and self._at == self._give_up:
            self.done = self.ended = True
        for number, path in self._names.items():
            if self._at == tuple(path):
                self.chosen.append(number)
                del self._names[number]
                self._at = ()
                return

    def _open(self) -> Iterable[tuple[int, ...]]:
        if len(self.chosen) < self._most:
            yield from (tuple(path) for path in self._names.values())
        if not self.chosen:
            yield self._give_up


class Speaker:
    """Turns answer tokens into pieces of text: whole characters only, and never past a stop."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self._tokenizer, self._stop = tokenizer, [s for s in stop if s]
        self._stream = DecodeStream(skip_special_tokens=True)
        self._held = ""
        self.said = ""
        self.stopped = False

    def hear(self, token: int) -> str:
        """What can be said now; "" while a character or a stop string may still be under way."""
        self._held += self._stream.step(self._tokenizer, token) or ""
        for stop in self._stop:
            at = self._held.find(stop)
            if at >= 0:
                self.stopped = True
                return self._say(at)
        return self._say(len(self._held) - self._overlap())

    def finish(self) -> str:
        """What was held back."""
        return "" if self.stopped else self._say(len(self._held))

    def _say(self, size: int) -> str:
        piece, self._held = self._held[:size], self._held[size:]
        self.said += piece
        return piece

    def _overlap(self) -> int:
        """How many characters at the end may be the beginning of a stop string."""
        longest = max((len(s) for s in self._stop), default=0)
        for size in range(min(longest - 1, len(self._held)), 0, -1):
            if any(s.startswith(self._held[-size:]) for s in self._stop):
                return size
        return 0
