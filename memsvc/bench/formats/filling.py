"""Banks while a reader fills them: where passages meet again, and how they are named.

Knows passages; nothing of files.
"""

from __future__ import annotations

from memsvc.bench.corpus import PASSAGES, Passage


class Pool:
    """One bank of all the paragraphs that come with the questions of a set, each held once."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], str] = {}
        self._titles: dict[str, int] = {}
        self.banks: dict[str, list[Passage]] = {PASSAGES: []}

    def put(self, title: str, text: str) -> str:
        """The passage's id: its title, with a number where another text has the same."""
        if (title, text) not in self._ids:
            number = self._titles[title] = self._titles.get(title, 0) + 1
            name = title if number == 1 else f"{title} ({number})"
            self._ids[title, text] = name
            self.banks[PASSAGES].append(Passage(name, title, text))
        return self._ids[title, text]
