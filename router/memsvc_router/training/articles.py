"""Articles about a made-up world: short, like those of an encyclopedia, and worded many ways.

Each says which facts it tells and in which words, so that whoever asks knows what can be answered.
Knows nothing of questions. The wordings themselves are in `wordings.toml`.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from memsvc_router.training.phrasing import capital, listed, phrase
from memsvc_router.training.world import WORKS, Entity

WORDINGS: Mapping[str, Any] = tomllib.loads(
    Path(__file__).with_name("wordings.toml").read_text(encoding="utf-8")
)
_DATES = ("{d} {month} {y}", "{month} {d}, {y}")
_FIELD = re.compile(r"\{(\w+)\}")
_ON_YEAR = re.compile(r"\bon (\d{4})\b")  # where only the year is told of a date
_ONE = "[[a|an] {nationality} {occupation}|a {occupation} from {country}]"
_FIRMS = {"film": "[film studio|film company]", "song": "record label", "book": "publisher"}
_ORDERED = 0.75  # of the persons, so many are buried after they studied
_WED_AT = 24


@dataclass
class Article:
    """`said`: the words in which `text` tells a fact or names the other end of a link."""

    entity: Entity
    text: str = ""
    said: dict[str, str] = field(default_factory=dict)


def write_article(entity: Entity, rng: random.Random, works: Sequence[Entity]) -> Article:
    """Tell what is true of an entity: some of it, in some order. `works`: by a person or of a
    firm; some may be named."""
    wording = WORDINGS[entity.kind]
    writer = _Writer(entity, rng, works)
    leads = [lead for lead in wording["leads"] if writer.can(lead)]
    text = [writer.fill(rng.choice(leads))]
    body, end = (writer.some(wording.get(part, [])) for part in ("sentences", "ending"))
    if end and rng.random() > _ORDERED:
        body += end
        rng.shuffle(body)
        end = []
    told = " ".join(capital(part) for part in [*text, *body, *end])
    writer.article.text = _ON_YEAR.sub(r"in \1", told)
    return writer.article


def link_back(entities: Sequence[Entity]) -> Callable[[Entity], Sequence[Entity]]:
    """For a person or a firm, the works that are theirs."""
    found: dict[int, list[Entity]] = {}
    for work in entities:
        for relation in (WORKS.get(work.kind, ""), "firm"):
            if relation in work.links:
                found.setdefault(id(work.links[relation]), []).append(work)
    return lambda entity: found.get(id(entity), [])


class _Writer:
    """Fills templates from an entity and notes what was said."""

    def __init__(self, entity: Entity, rng: random.Random, works: Sequence[Entity]) -> None:
        self.article, self._rng = Article(entity), rng
        self._date = "{y}" if rng.random() < 0.06 else rng.choice(_DATES)
        self._extra = {"name": entity.name} | _more(entity, rng, works)

    def can(self, template: str) -> bool:
        """Whether the entity has all that a lead without choices between facts tells."""
        dead = "died" in self.article.entity.days
        return all(word not in template for word in ("{died}", "{deathplace}")) or dead

    def some(self, sentences: Sequence[Mapping[str, Any]]) -> list[str]:
        """Sentences drawn each with its chance where it has its say, shuffled."""
        kept = []
        for one in sentences:
            fits = "needs" not in one or self._has(one["needs"])
            told = one.get("unless") in self.article.said
            if fits and not told and self._rng.random() < one["chance"]:
                kept.append(self.fill(one["say"]))
        self._rng.shuffle(kept)
        return kept

    def fill(self, template: str) -> str:
        """One form of a template; fields that are facts are noted as said."""
        template = template.replace("{one}", _ONE)
        if "died" not in self.article.entity.days:
            template = template.replace("{name} {was}", "{name} (born {born}) {was}")
        chosen = phrase(self._rng, template, _Unfilled())
        chosen = re.sub(r"\ban? (?=\{(\w+)\})", lambda m: _article(self._words(m[1])), chosen)
        return _FIELD.sub(lambda m: self._words(m[1]), chosen)

    def _has(self, name: str) -> bool:
        one = self.article.entity
        return name in one.values or name in one.days or name in one.links or name in self._extra

    def _words(self, name: str) -> str:
        if name in self._extra:
            return self._extra[name]
        one = self.article.entity
        if name in one.days:
            found = _spelled(self._date, one.days[name])
        else:
            found = one.links[name].name if name in one.links else one.values[name]
        self.article.said[name] = found
        return found


class _Unfilled(dict[str, str]):
    """Leaves the fields of a template as they are."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _more(entity: Entity, rng: random.Random, works: Sequence[Entity]) -> dict[str, str]:
    """Words that are no facts."""
    few = [work for work in works[:4] if work.values.get("year")]
    quoted = rng.random() < 0.5
    named = listed([f'"{w.name}"' if quoted else f"{w.name} ({w.values['year']})" for w in few])
    found = {"works": named} if few else {}
    if entity.kind == "film":
        cast = entity.values["cast"].split("; ")
        found |= {"cast": listed(cast), "star": cast[0]}
    if entity.kind == "firm":
        found["what"] = phrase(rng, _FIRMS[entity.values["trade"]])
    if entity.kind == "person":
        found |= _personal(entity)
        known = ", [best known for|known for|remembered for] {works}"
        found["known"] = phrase(rng, known, found) if few and rng.random() < 0.3 else ""
    return found


def _personal(one: Entity) -> dict[str, str]:
    names = ("he", "his", "him", "child", "mate", "other_mate")
    man, woman = "he his him son wife husband", "she her her daughter husband wife"
    words: dict[str, str] = dict(zip(names, (woman if one.woman else man).split(), strict=True))
    was = "was" if "died" in one.days else "is"
    return words | {"was": was, "wedding": str(one.days["born"].year + _WED_AT)}


def _spelled(form: str, day: date) -> str:
    return form.format(d=day.day, month=day.strftime("%B"), y=day.year)


def _article(word: str) -> str:
    return "an " if word[:1].lower() in "aeiou" else "a "
