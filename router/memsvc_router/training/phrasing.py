"""Sentences from templates with choices: `[born|who was born] in {place}`.

Knows brackets, bars and fields; nothing of what is said.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SPACES = re.compile(r" {2,}")


def phrase(rng: random.Random, template: str, fields: Mapping[str, str] = {}) -> str:
    """One of a template's forms: each `[a|b|]` becomes one of its parts (they nest), then each
    `{field}` its value, as it stands. Raises KeyError: a field without a value."""
    while found := _CHOICE.search(template):
        chosen = rng.choice(found[1].split("|"))
        template = template[: found.start()] + chosen + template[found.end() :]
    filled = template.format_map(fields)
    return _SPACES.sub(" ", filled).replace(" ,", ",").replace(" .", ".").strip()


def listed(words: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def capital(text: str) -> str:
    """With its first letter in upper case."""
    return text[:1].upper() + text[1:]
