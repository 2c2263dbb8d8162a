"""Whose tokens a budget is of: other models' tokenizers, or characters.

Knows tokenizer files; the model's own tokenizer is the model's to use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tokenizers import Tokenizer

CHARACTERS = "characters"

Count = Callable[[str], int]
"""Tokens of a text."""


class Tokenizers:
    """The tokenizers of one server, by the names under which callers know them."""

    def __init__(self, paths: Mapping[str, Path] | None = None) -> None:
        """`paths` of `tokenizer.json` files, read at once. Raises OSError where one cannot be."""
        self._counts: dict[str, Count] = {CHARACTERS: len}
        for name, path in (paths or {}).items():
            self._counts[name] = _counting(name, path)

    @property
    def names(self) -> tuple[str, ...]:
        """What there is to choose from."""
        return tuple(sorted(self._counts))

    def count(self, name: str) -> Count:
        """What counts a text's tokens. Raises KeyError on a name that is not there."""
        return self._counts[name]


def _counting(name: str, path: Path) -> Count:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise OSError(f"tokenizer {name}: {path} is no tokenizer.json: {error}") from None
    # A file may ask for either, for the model it was made with; here every token counts, once.
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
