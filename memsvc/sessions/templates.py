"""How a session's context is put together: text around `{memories}` and `{recent}`.

Knows the two places, not what stands there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MEMORIES, RECENT = "memories", "recent"
# Braces around anything but a word are text: templates hold JSON, too.
_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")


class TemplateError(ValueError):
    """A template that cannot be used; the message says why."""


@dataclass(frozen=True)
class Template:
    """`literals` stand before, between and after the `places`."""

    literals: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Raises TemplateError on an unknown place, one that stands there twice, and on none."""
        pieces = _PLACE.split(text)
        places = tuple(pieces[1::2])
        for place in places:
            if place not in (MEMORIES, RECENT):
                raise TemplateError(f"knows {{memories}} and {{recent}}, not {{{place[:64]}}}")
            if places.count(place) > 1:
                raise TemplateError(f"holds {{{place}}} more than once")
        if not places:
            raise TemplateError("holds neither {memories} nor {recent}")
        return cls(tuple(pieces[0::2]), places)

    def filled(self, parts: Mapping[str, str]) -> str:
        """The text. White space between the two places goes on the side of an empty one."""
        literals = list(self.literals)
        if len(self.places) > 1:
            first, second = (parts[place] for place in self.places)
            literals[1] = literals[1] if first else literals[1].lstrip()
            literals[1] = literals[1] if second else literals[1].rstrip()
        text = literals[0]
        for place, literal in zip(self.places, literals[1:], strict=True):
            text += parts[place] + literal
        return text


DEFAULT_TEMPLATE = Template.parse("{memories}\n\n{recent}")
