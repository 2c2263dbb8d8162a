"""Mixed writes by several threads, and a ledger of what the server acknowledged.

Each writer has documents of its own and does one thing after the other, so at most one call of it
is in flight when the server dies: that one may have happened or not, whole or not at all.
Knows the SDK; nothing of processes.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from memsvc_client import MemoryClient, MemsvcError, NewDocument

BANK = "crash"
_MOST_DOCUMENTS = 60  # of one writer; beyond them it only updates and deletes
_MOST_WORDS = 120
_PAUSE_SECONDS = 0.03
_WORDS = ("amber", "bridge", "copper", "delta", "ember", "forest", "granite", "harbor", "island")

Text = str | None
"""What a document holds; None where there is none."""


@dataclass
class Verdict:
    """What a restart has shown, in documents. `torn`: half a call, or a block that is not whole."""

    lost: list[str] = field(default_factory=list)
    resurrected: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        self.lost += other.lost
        self.resurrected += other.resurrected
        self.torn += other.torn

    @property
    def sound(self) -> bool:
        return not (self.lost or self.resurrected or self.torn)


@dataclass
class Ledger:
    """What one writer knows. `acknowledged`: the last text of each document ever named (None:
    deleted); `attempted`: what the call in flight would make of some."""

    acknowledged: dict[str, Text] = field(default_factory=dict)
    attempted: dict[str, Text] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)

    @property
    def living(self) -> list[str]:
        return [name for name, text in self.acknowledged.items() if text is not None]

    def settled(self, kind: str) -> None:
        """The call in flight was acknowledged."""
        self.acknowledged.update(self.attempted)
        self.attempted = {}
        self.writes[kind] += 1

    def judge(self, found: Mapping[str, str]) -> Verdict:
        """Compare with what a restarted server holds, and take that for the truth from now on."""
        verdict = Verdict()
        happened = {found.get(name) == text for name, text in self.attempted.items()}
        if len(happened) > 1:
            verdict.torn += self.attempted
        for name in self.acknowledged.keys() | self.attempted.keys():
            before = self.acknowledged.get(name)
            allowed = {before, self.attempted.get(name, before)}
            now = found.get(name)
            if now not in allowed:
                (verdict.resurrected if allowed == {None} else verdict.lost).append(name)
            self.acknowledged[name] = now
        self.attempted = {}
        return verdict


class Writer(threading.Thread):
    """Writes until `killed`. An error before that is kept in `error`: nothing may fail earlier."""

    def __init__(
        self, client: MemoryClient, ledger: Ledger, prefix: str, seed: str, killed: threading.Event
    ) -> None:
        super().__init__(name=f"writer-{prefix}", daemon=True)
        self._client = client
        self._ledger = ledger
        self._prefix = prefix
        self._random = random.Random(seed)
        self._killed = killed
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._killed.is_set():
                self._write()
                time.sleep(self._random.random() * _PAUSE_SECONDS)
        except Exception as error:
            if not (isinstance(error, MemsvcError) and self._killed.is_set()):
                self.error = error

    def _write(self) -> None:
        living = self._ledger.living
        kinds = ["update", "update", "delete", "compact"] if living else []
        if len(living) < _MOST_DOCUMENTS:
            kinds += ["add"] * 4
        kind = self._random.choice(kinds)
        if kind == "compact":
            if self._random.random() < 0.2:  # it is slow, and writes are what matters
                self._client.compact_bank(BANK)
            return
        if kind == "add":
            self._add()
        else:
            self._change(kind, self._random.choice(living))
        self._ledger.settled(kind)

    def _add(self) -> None:
        ledger = self._ledger
        first = len(ledger.acknowledged)
        names = [f"{self._prefix}-{first + i}" for i in range(self._random.randint(1, 8))]
        ledger.attempted = {name: self._text(name) for name in names}
        documents = [
            NewDocument(str(text), f"About {name}", name) for name, text in ledger.attempted.items()
        ]
        if errors := self._client.add(BANK, documents).errors:
            raise errors[0][1]

    def _change(self, kind: str, name: str) -> None:
        if kind == "delete":
            self._ledger.attempted = {name: None}
            self._client.delete_document(BANK, name)
        else:
            text = self._text(name)
            self._ledger.attempted = {name: text}
            self._client.update_document(BANK, name, text=text)

    def _text(self, name: str) -> str:
        """A text that no other write has."""
        words = self._random.choices(_WORDS, k=self._random.randint(10, _MOST_WORDS))
        return f"Note {name} {self._random.getrandbits(48):012x}: {' '.join(words)}."
