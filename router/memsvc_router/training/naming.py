"""Names for a made-up world: by combination, told apart where they are the same.

Knows languages and what was named before; nothing of what the names are given to.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from memsvc_router.training.worldnames import ADJECTIVES, GERUNDS, NOUNS, TONGUES, Tongue

Country = tuple[str, str, tuple[str, ...]]
"""Its name, its adjective, its large cities."""
_TRIES = 200


@dataclass(frozen=True)
class WorldOptions:
    """`persons`: how many there are at least; everything else grows with them. `lookalikes`: the
    share of names made to look like one that is there: the same surname, a title with the same
    words, or (a quarter of them) the same name, told apart in brackets. `taken`: names, in lower
    case, that must not come up: those of real texts."""

    persons: int
    seed: int
    lookalikes: float = 0.3
    taken: frozenset[str] = frozenset()


class Namer:
    """Draws names; remembers them to make others look alike."""

    def __init__(self, options: WorldOptions, rng: random.Random) -> None:
        self._options, self._rng = options, rng
        self._titles: set[str] = set()
        self._surnames: list[str] = []
        self._phrases: list[str] = []

    def unique(self, draw: Callable[[], str], brackets: Callable[[], str]) -> tuple[str, str]:
        """A name, and a title that nobody has yet."""
        for _ in range(_TRIES):
            name = draw()
            if name.lower() in self._options.taken:
                continue
            same_allowed = self._rng.random() < self._options.lookalikes / 4
            for title in (name, f"{name} ({brackets()})") if same_allowed else (name,):
                if title.lower() not in self._titles:
                    self._titles.add(title.lower())
                    return name, title
        raise ValueError(f"names ran out after {len(self._titles)}: make a smaller world")

    def town(self, tongue: Tongue) -> str:
        return self._rng.choice(tongue.towns[0]) + self._rng.choice(tongue.towns[1])

    def country(self) -> tuple[Tongue, Country]:
        """A language area and one of its countries."""
        tongue = self._rng.choice((TONGUES[0], TONGUES[0], *TONGUES))
        return tongue, self._rng.choice(tongue.countries)

    def person(self, tongue: Tongue, woman: bool, surname: str | None) -> str:
        """A full name."""
        rng = self._rng
        first = rng.choice(tongue.women if woman else tongue.men)
        if rng.random() < 0.12:
            first += f" {rng.choice(tongue.women if woman else tongue.men)}"
        elif rng.random() < 0.12:
            first += f" {rng.choice('ABCDEFGHJKLMNPRSTW')}."
        return f"{first} {surname or self.surname(tongue)}"

    def surname(self, tongue: Tongue) -> str:
        """A family's name: one that is there, at times."""
        if self._surnames and self._rng.random() < self._options.lookalikes:
            return self._rng.choice(self._surnames[-400:])
        made = self._rng.choice(tongue.surnames[0]) + self._rng.choice(tongue.surnames[1])
        self._surnames.append(made)
        return made

    def work(self, towns: list[str]) -> str:
        """The name of a film, song or book."""
        rng = self._rng
        noun = rng.choice(NOUNS)
        if self._phrases and rng.random() < self._options.lookalikes:
            noun = rng.choice(self._phrases[-150:])
        self._phrases.append(noun)
        tongue = rng.choice(TONGUES)
        foreign = rng.choice(tongue.towns[0]) + rng.choice(tongue.surnames[1])
        forms = (
            f"The {rng.choice(ADJECTIVES)} {noun}", f"{rng.choice(ADJECTIVES)} {noun}",
            f"The {noun} of {rng.choice(towns)}", f"{rng.choice(GERUNDS)} {noun}",
            f"The {noun}'s {rng.choice(NOUNS)}", f"{noun} of the {rng.choice(NOUNS)}",
            f"{rng.choice(tongue.women)} and the {noun}", f"A {noun} for {rng.choice(tongue.men)}",
            f"{foreign} {rng.choice(tongue.women)}", f"The {noun} and the {rng.choice(NOUNS)}",
            f"{rng.choice(GERUNDS)} the {noun}", f"{rng.choice(tongue.men)}'s {noun}",
            f"My {rng.choice(ADJECTIVES)} {noun}", f"{foreign} {rng.choice(tongue.towns[0])}a",
            f"No {noun} in {rng.choice(towns)}",
        )  # fmt: skip
        return rng.choice(forms)
