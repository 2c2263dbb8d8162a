"""Questions over the articles of a made-up world: chains, kinships, comparisons.

A question asks only what its articles say, so that its last article holds the answer's words.
Knows articles and wordings; nothing of files.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memsvc_router.training.articles import WORDINGS, Article
from memsvc_router.training.phrasing import capital, phrase
from memsvc_router.training.world import WORKS, Entity

_TRIES = 400
_ASIDE = 0.15  # of the works, so many are described instead of named


@dataclass(frozen=True)
class Asked:
    """A question, its answer, and the articles that it takes, in reading order."""

    type: str
    question: str
    answer: str
    path: tuple[Article, ...]


class Asker:
    """Draws questions of each type; the same seed draws the same."""

    def __init__(self, articles: Sequence[Article], rng: random.Random) -> None:
        self._rng = rng
        self._articles = {id(article.entity): article for article in articles}
        self._kinds: dict[str, list[Article]] = {}
        for article in articles:
            self._kinds.setdefault(article.entity.kind, []).append(article)
        self._named = Counter(article.entity.name.lower() for article in articles)
        self.types: dict[str, Callable[[], Asked | None]] = {
            "compositional": lambda: self._chain(2),
            "chain3": lambda: self._chain(3),
            "chain4": lambda: self._chain(4),
            "inference": self._inference,
            "comparison": self._comparison,
            "bridge_comparison": self._bridge_comparison,
        }

    def draw(self, type: str) -> Asked:
        """A question of a type. Raises ValueError where the world has none of it."""
        for _ in range(_TRIES):
            found = self.types[type]()
            if found is not None:
                return found
        raise ValueError(f"this world has no question of type {type!r}: make it larger")

    def _any(self, *kinds: str) -> Article:
        return self._rng.choice(self._kinds[self._rng.choice(kinds)])

    def _steps(self, article: Article) -> list[str]:
        """Links that an article names, to others that have an article."""
        links = article.entity.links
        return [r for r in links if r in article.said and id(links[r]) in self._articles]

    def _next(self, article: Article, relation: str) -> Article:
        return self._articles[id(article.entity.links[relation])]

    def _chain(self, hops: int) -> Asked | None:
        """A fact of what is so many articles away."""
        rng = self._rng
        start = self._any("film", "film", "song", "book", "person", "person", "firm")
        path, subject = [start], self._mention(start)
        while len(path) < hops:
            steps = [r for r in self._steps(path[-1]) if self._next(path[-1], r) not in path]
            if not steps:
                return None
            relation = rng.choice(steps)
            path.append(self._next(path[-1], relation))
            subject = self._related(subject, relation, path[-1].entity)
        facts = WORDINGS["facts"].get(path[-1].entity.kind, {})
        told = [f for f in facts if f in path[-1].said and not self._gone_by(path, f)]
        if not told:
            return None
        fact = rng.choice(told)
        question = capital(_put(rng, facts[fact], subject))
        name = "compositional" if hops == 2 else f"chain{hops}"
        return Asked(name, question, path[-1].said[fact], tuple(path))

    def _gone_by(self, path: list[Article], fact: str) -> bool:
        """Whether a fact's answer is one of those who were passed (a spouse's spouse)."""
        return any(path[-1].said[fact] == article.entity.name for article in path)

    def _related(self, subject: str, relation: str, other: Entity) -> str:
        if relation == "spouse":
            relation = "wife" if other.woman else "husband"
        return _put(self._rng, WORDINGS["relations"][relation], subject)

    def _inference(self) -> Asked | None:
        start = self._any("person")
        pair = self._rng.choice(tuple(WORDINGS["kinship"]))
        first, second = pair.split()
        if first not in self._steps(start):
            return None
        middle = self._next(start, first)
        if second not in middle.said:
            return None
        kin = phrase(self._rng, WORDINGS["kinship"][pair])
        forms = f"[Who is the {kin} of {{x}}?|Who is {{xs}} {kin}?|Who was {{xs}} {kin}?]"
        question = _put(self._rng, forms, self._mention(start))
        return Asked("inference", question, middle.said[second], (start, middle))

    def _comparison(self) -> Asked | None:
        one, other = self._pair(self._rng.choice(("person", "person", "film", "song", "book")))
        kind = one.entity.kind
        names = self._mention(one, plain=True), self._mention(other, plain=True)
        if self._rng.random() < 0.25:
            return self._same(one, other, names, (one, other))
        fact = self._rng.choice(("born", "died") if kind == "person" else ("released",))
        years = self._years(one, other, fact)
        if years is None:
            return None
        late = self._rng.random() < 0.5
        verb = phrase(self._rng, WORDINGS["compared"][fact][late])
        lead = "Who" if kind == "person" else f"Which {kind}"
        question = f"{lead} {verb}, {names[0]} or {names[1]}?"
        first = (years[0] < years[1]) is not late
        answer = (one if first else other).entity.name
        return Asked("comparison", question, answer, (one, other))

    def _bridge_comparison(self) -> Asked | None:
        kind = self._rng.choice(("film", "film", "film", "song", "book"))
        one, other = self._pair(kind)
        maker = WORKS[kind]
        if maker not in self._steps(one) or maker not in self._steps(other):
            return None
        makers = self._next(one, maker), self._next(other, maker)
        if makers[0] is makers[1]:
            return None
        path = (one, other, *makers)
        names = self._mention(one, plain=True), self._mention(other, plain=True)
        if self._rng.random() < 0.3:
            return self._same(*makers, names, path)
        fact = self._rng.choice(tuple(WORDINGS["compared_makers"]))
        years = self._years(*makers, fact)
        if years is None:
            return None
        late = self._rng.random() < 0.5
        how = phrase(self._rng, WORDINGS["compared_makers"][fact][late])
        question = phrase(
            self._rng,
            f"Which {kind} has the {maker} {how}, {names[0]} or {names[1]}?",
        )
        first = (years[0] < years[1]) is not late
        return Asked("bridge_comparison", question, (one if first else other).entity.name, path)

    def _same(
        self, one: Article, other: Article, names: tuple[str, str], path: tuple[Article, ...]
    ) -> Asked | None:
        """Whether two are from the same country; the makers of two works where `path` is long."""
        rng, kind, maker = self._rng, path[0].entity.kind, WORKS.get(path[0].entity.kind, "")
        told = [f for f in ("nationality", "country") if f in one.said and f in other.said]
        if not told:
            return None
        person = one.entity.kind == "person"
        what = "nationality" if person and told[0] == "nationality" else "country of origin"
        a, b = names
        if len(path) == 4:
            forms = (
                f"[Do both {maker}s of {kind}s {a} and {b} have the same {what}?|"
                f"Do both {kind}s {a} and {b} have the {maker}s that share the same {what}?|"
                f"Are the {maker}s of {a} and {b} from the same country?]"
            )
        else:
            forms = (
                f"[Are {a} and {b} from the same country?|Are both {a} and {b} from the same "
                f"country?|Do {a} and {b} have the same {what}?]"
            )
        answer = "yes" if one.said[told[0]] == other.said[told[0]] else "no"
        return Asked(_type(path), phrase(rng, forms), answer, path)

    def _pair(self, kind: str) -> tuple[Article, Article]:
        """Two of a kind, from the same country in half of the cases."""
        one, other = self._rng.sample(self._kinds[kind], 2)
        if self._rng.random() < 0.5:
            country = one.entity.values["country"]
            near = [a for a in self._rng.sample(self._kinds[kind], min(60, len(self._kinds[kind])))
                    if a.entity.values["country"] == country and a is not one]  # fmt: skip
            other = near[0] if near else other
        return one, other

    def _years(self, one: Article, other: Article, fact: str) -> tuple[int, int] | None:
        """The years of a fact that both tell, unless they are the same."""
        told = [f for f in (fact, "year") if f in one.said and f in other.said]
        days = one.entity.days.get(fact), other.entity.days.get(fact)
        if not told or days[0] is None or days[1] is None or days[0].year == days[1].year:
            return None
        return days[0].year, days[1].year

    def _mention(self, article: Article, plain: bool = False) -> str:
        """How a question names what it starts from: clearly, even where others have the name."""
        rng, one = self._rng, article.entity
        said = article.said
        work = one.kind in WORKS
        cast = one.values.get("cast", "").split("; ")
        shown = [star for star in cast if star and star in article.text]
        if work and not plain and shown and "genre" in said and rng.random() < _ASIDE:
            return f"the {one.values['year']} {said['genre']} film starring {' and '.join(shown)}"
        name = one.title
        if self._named[one.name.lower()] > 1 and one.title == one.name:
            known = one.values.get("year") or one.values.get("nationality", "")
            what = one.kind if work else one.values.get("occupation", one.kind)
            return f"the {known} {what} {name}".replace("  ", " ")
        name = name.title().replace("'S ", "'s ") if rng.random() < 0.15 else name
        if work and not plain:
            name = phrase(rng, f"[the |]{one.kind} ") + " " + name if rng.random() < 0.6 else name
        return name


def _type(path: tuple[Article, ...]) -> str:
    return "bridge_comparison" if len(path) == 4 else "comparison"


def _put(rng: random.Random, template: str, subject: str) -> str:
    """A wording with its subject. What is described has no possessive: `the film that Ada made's
    director` is nobody's English."""
    possessive = subject + ("'" if subject.endswith("s") else "'s")
    described = any(word in subject for word in (" who ", " where ", " starring ", " in which "))
    found = phrase(rng, template, {"x": subject, "xs": "\0"})
    for _ in range(_TRIES - 1):
        if not described or "\0" not in found:
            break
        found = phrase(rng, template, {"x": subject, "xs": "\0"})
    return found.replace("\0", possessive)
