"""A world made up from a seed: families, towns, schools, firms, films, songs and books, tied.

Holds what is true in it. Knows nothing of texts or questions.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date

from memsvc_router.training.naming import Country, Namer, WorldOptions
from memsvc_router.training.worldnames import ADJECTIVES, NOUNS, Tongue

WORKS = {"film": "director", "song": "performer", "book": "author"}
"""Kinds of works, and who stands behind each."""
TRADES = {
    "film": ("film director", "director and screenwriter", "filmmaker", "film director and actor"),
    "song": ("singer", "singer-songwriter", "musician", "pop singer", "guitarist and singer"),
    "book": ("novelist", "writer", "author", "poet and novelist", "children's author"),
}
_OTHERS = (
    "politician", "footballer", "painter", "chess player", "physicist", "architect", "lawyer",
    "actor", "actress", "composer", "rower", "botanist", "banker", "military officer", "cyclist",
    "journalist", "historian", "bishop", "screenwriter", "film producer", "philanthropist",
)  # fmt: skip
_RANKS = ("Count", "Duke", "Lord", "Baron", "Prince", "Margrave", "Earl")
_GENRES = (
    "drama", "comedy", "crime", "adventure", "Western", "horror", "romance", "thriller", "war",
    "musical", "romantic comedy", "silent drama", "science fiction", "mystery", "action",
)  # fmt: skip
_CAUSES = ("pneumonia", "a heart attack", "cancer", "tuberculosis", "a stroke", "leukemia")
_PRIZES = (
    "Golden Lantern", "Silver Quill", "Marlow Medal", "National Arts Prize", "Tessel Award",
    "Order of the Blue Star", "Harrow Fellowship", "Critics' Circle Award", "Order of Saint Vael",
)  # fmt: skip
_FIRMS = {
    "film": ("{} Pictures", "{} Films", "{} Film Company", "Studio {}"),
    "song": ("{} Records", "{} Music", "{} Recordings"),
    "book": ("{} Press", "{} & Sons", "{} Publishing House", "{} Books"),
}


@dataclass(eq=False)
class Entity:
    """A person, town, school, firm or work. `title`: its name, told apart from others of the same
    name; `values`: facts in words; `days`: dates; `links`: relations to others."""

    kind: str
    name: str
    title: str
    values: dict[str, str] = field(default_factory=dict)
    days: dict[str, date] = field(default_factory=dict)
    links: dict[str, Entity] = field(default_factory=dict)

    @property
    def woman(self) -> bool:
        return self.values.get("sex") == "woman"


class World:
    """All entities by kind, in the order in which they were made."""

    def __init__(self, options: WorldOptions) -> None:
        self._rng = random.Random(options.seed)
        self._names = Namer(options, self._rng)
        self.kinds: dict[str, list[Entity]] = {
            kind: [] for kind in ("town", "school", "firm", "person", *WORKS)
        }
        for _ in range(max(8, options.persons // 10)):
            self._town()
        self._town_names = [town.name for town in self.kinds["town"]]
        for _ in range(max(4, options.persons // 40)):
            self._school()
        while len(self.kinds["person"]) < options.persons:
            self._family()
        for _ in range(max(6, options.persons // 25)):
            self._firm()
        for kind, share in (("film", 0.6), ("song", 0.12), ("book", 0.12)):
            makers = [p for p in self.kinds["person"] if p.values["trade"] == kind]
            if kind != "book":  # neither films nor records before there were any
                makers = [p for p in makers if 1872 < p.days["born"].year < 1995]
            for _ in range(max(4, int(options.persons * share))):
                self._work(kind, makers)

    def _add(self, entity: Entity) -> Entity:
        self.kinds[entity.kind].append(entity)
        return entity

    def _town(self) -> None:
        rng = self._rng
        tongue, (country, adjective, cities) = self._names.country()

        def draw() -> str:
            return self._names.town(tongue)

        county = draw() + rng.choice((" County", " District", " Province", " Region"))
        name, title = self._names.unique(draw, lambda: county)
        values = {
            "country": country,
            "county": county,
            "river": draw() + rng.choice((" River", "")),
            "population": f"{rng.randint(300, 190_000):,}",
            "census": str(rng.choice((1991, 2000, 2001, 2006, 2010, 2011, 2016, 2020))),
            "founded": str(rng.randint(1050, 1910)),
            "city": rng.choice(cities),
            "mayor": self._names.person(tongue, rng.random() < 0.3, None),
            "adjective": adjective,
        }
        self._add(Entity("town", name, title, values))

    def _school(self) -> None:
        rng = self._rng
        town = rng.choice(self.kinds["town"])
        forms = ("University of {}", "{} College", "{} Conservatory", "{} Academy of Arts")
        name, title = self._names.unique(
            lambda: rng.choice(forms).format(rng.choice(self._town_names)),
            lambda: town.values["country"],
        )
        values = {
            "country": town.values["country"],
            "founded": str(rng.randint(1400, 1965)),
            "students": f"{rng.randint(400, 41_000):,}",
            "motto": f"{rng.choice(NOUNS)} and {rng.choice(NOUNS)}",
        }
        self._add(Entity("school", name, title, values, links={"town": town}))

    def _family(self) -> None:
        """A couple, their children, and the families of some of these."""
        rng = self._rng
        noble = rng.random() < 0.12
        tongue, country = self._names.country()
        start = rng.randint(1380, 1820) if noble else rng.randint(1825, 1945)
        seat = f" of {self._names.town(tongue)}" if noble else ""
        couples = [self._couple(tongue, country, start, seat, None)]
        for generation in range(2):
            grown = []
            for father, mother in couples:
                for number in range(rng.choice((1, 1, 2, 2, 3))):
                    child = self._child(tongue, country, father, mother, seat)
                    if generation < 1 and (number == 0 or rng.random() < 0.5):
                        grown.append(self._couple(tongue, country, 0, seat, child))
            couples = grown

    def _couple(
        self,
        tongue: Tongue,
        country: Country,
        year: int,
        seat: str,
        one: Entity | None,
    ) -> tuple[Entity, Entity]:
        """Husband and wife; `one` is there already."""
        rng = self._rng
        one = one or self._person(tongue, country, year, rng.random() < 0.2, None, seat)
        far = not seat and rng.random() < 0.15
        other_tongue, other_country = self._names.country() if far else (tongue, country)
        year = one.days["born"].year + rng.randint(-6, 6)
        other = self._person(other_tongue, other_country, year, not one.woman, None, seat)
        one.links["spouse"], other.links["spouse"] = other, one
        return (other, one) if one.woman else (one, other)

    def _child(
        self,
        tongue: Tongue,
        country: Country,
        father: Entity,
        mother: Entity,
        seat: str,
    ) -> Entity:
        rng = self._rng
        late = max(father.days["born"], mother.days["born"]).year
        surname = None if seat else father.values["surname"]
        child = self._person(
            tongue, country, late + rng.randint(19, 34), rng.random() < 0.45, surname, seat
        )
        child.links |= {"father": father, "mother": mother}
        return child

    def _person(
        self,
        tongue: Tongue,
        country: Country,
        year: int,
        woman: bool,
        surname: str | None,
        seat: str,
    ) -> Entity:
        rng = self._rng
        born = _day(rng, year)
        rank = rng.choice(_RANKS)
        trade = "" if seat else rng.choice(("film", "film", "film", "song", "book", "", "", ""))
        work = rng.choice(TRADES[trade]) if trade else rng.choice(_OTHERS)
        work = ("noblewoman" if woman else "nobleman") if seat else work
        work = {"actor": "actress"}.get(work, work) if woman else work.replace("actress", "actor")
        family = surname or self._names.surname(tongue)

        def draw() -> str:
            if not seat:
                return self._names.person(tongue, woman, family)
            first = rng.choice(tongue.women if woman else tongue.men)
            if woman:
                return f"{first}{seat}"
            return f"{first} {rng.choice(('I', 'II', 'III', 'IV', 'V', 'VI'))}, {rank}{seat}"

        name, title = self._names.unique(
            draw, lambda: rng.choice((work, f"born {year}", f"{work}, {year}"))
        )
        values = {
            "sex": "woman" if woman else "man",
            "nationality": country[1],
            "country": country[0],
            "occupation": work,
            "trade": trade,
            "surname": family,
            "award": rng.choice(_PRIZES),
        }
        person = Entity("person", name, title, values, {"born": born})
        self._places(person, country, seat)
        return self._add(person)

    def _places(self, person: Entity, country: Country, seat: str) -> None:
        rng = self._rng
        near = [t for t in self.kinds["town"] if t.values["country"] == country[0]]
        near = near or self.kinds["town"]
        if rng.random() < 0.6:
            person.links["birthplace"] = rng.choice(near)
        else:
            person.values["birthplace"] = rng.choice(country[2])
        age = rng.randint(31, 93)
        if seat or person.days["born"].year + age < 2019:
            person.days["died"] = _day(rng, person.days["born"].year + age)
            if rng.random() < 0.4:
                person.links["deathplace"] = rng.choice(near)
            else:
                person.values["deathplace"] = rng.choice(country[2])
            graves = ("{} Cemetery", "{} Abbey", "{} Churchyard", "Church of Saint {}")
            person.values["grave"] = rng.choice(graves).format(rng.choice(near).name)
            person.values["cause"] = rng.choice(_CAUSES)
        if not seat and rng.random() < 0.7:
            person.links["school"] = rng.choice(self.kinds["school"])

    def _firm(self) -> None:
        rng = self._rng
        trade = rng.choice(tuple(_FIRMS))
        founder = rng.choice([p for p in self.kinds["person"] if p.values["trade"]])
        town = rng.choice(self.kinds["town"])
        stems = (founder.values["surname"], rng.choice(ADJECTIVES), rng.choice(NOUNS), town.name)
        name, title = self._names.unique(
            lambda: rng.choice(_FIRMS[trade]).format(rng.choice(stems)), lambda: "company"
        )
        values = {
            "trade": trade,
            "country": town.values["country"],
            "adjective": town.values["adjective"],
            "founded": str(founder.days["born"].year + rng.randint(22, 50)),
        }
        self._add(Entity("firm", name, title, values, links={"founder": founder, "town": town}))

    def _work(self, kind: str, makers: list[Entity]) -> None:
        rng, persons = self._rng, self.kinds["person"]
        maker = rng.choice(makers)
        last = maker.days["died"].year if "died" in maker.days else 2021
        released = _day(rng, min(maker.days["born"].year + rng.randint(24, 58), last, 2021))
        near = [p for p in rng.sample(persons, 12) if abs(_age(p, released) - 40) < 25]
        cast = [p.name for p in near[:3]] or [rng.choice(persons).name]
        name, title = self._names.unique(
            lambda: self._names.work(self._town_names),
            lambda: rng.choice((kind, f"{released.year} {kind}", f"{kind} by {maker.name}")),
        )
        firms = [f for f in self.kinds["firm"] if f.values["trade"] == kind]
        links = {WORKS[kind]: maker}
        if firms and rng.random() < 0.6:
            links["firm"] = rng.choice(firms)
        if near and rng.random() < 0.5:
            links[{"film": "composer", "song": "composer", "book": "illustrator"}[kind]] = near[-1]
        if kind == "film" and near and rng.random() < 0.5:
            links["producer"] = near[0]
        values = {
            "genre": rng.choice(_GENRES),
            "nationality": maker.values["nationality"],
            "country": maker.values["country"],
            "cast": "; ".join(dict.fromkeys(cast)),
            "year": str(released.year),
            "album": self._names.work(self._town_names),
            "writer": rng.choice(persons).name,
        }
        self._add(Entity(kind, name, title, values, {"released": released}, links))


def _day(rng: random.Random, year: int) -> date:
    return date(year, rng.randint(1, 12), rng.randint(1, 28))


def _age(person: Entity, at: date) -> int:
    return at.year - person.days["born"].year
