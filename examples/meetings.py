"""Who said what, and when: a memory of meetings, asked with time.

    python -m examples.meetings                       (three meetings, then questions)

Each meeting is a session, each thing said a turn with its own time. The same question has another
answer as of another day.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from memsvc_client import AlreadyExists, MemoryClient, NewTurn, Recency

from examples.connecting import opened, parser

_MEETINGS = Path(__file__).parent / "data" / "meetings.jsonl"
_APRIL, _NOW = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
_RECENT = Recency(timedelta(days=30), weight=5)  # the last word counts
_QUESTIONS = (
    ("When does the beta of Heron start?", _APRIL),
    ("When does the beta of Heron start?", _NOW),
    ("Who writes the migration guide?", _NOW),
    ("What does the team plan cost?", _APRIL),
    ("What does the team plan cost?", _NOW),
)


def main() -> None:
    """Remember the meetings, ask."""
    given = parser(__doc__, "meetings").parse_args()
    with MemoryClient(given.server) as client:
        opened(client, given.bank)
        remember(client, given.bank)
        for question, moment in _QUESTIONS:
            ask(client, given.bank, question, moment)


def remember(client: MemoryClient, bank: str) -> None:
    """Every meeting once: turns have ids, so that none is doubled when this runs again."""
    meetings: dict[str, list[NewTurn]] = defaultdict(list)
    for line in _MEETINGS.read_text("utf-8").splitlines():
        said = json.loads(line)
        turns = meetings[said["meeting"]]
        moment = datetime.fromisoformat(said["time"])
        turns.append(NewTurn(said["who"], said["text"], turn_id=f"t{len(turns)}", time=moment))
    for name, turns in meetings.items():
        session = client.session(bank, name)
        try:
            session.extend(turns, wait=True)
        except AlreadyExists:
            raise SystemExit(f"session {name} holds other turns; use another --bank") from None
        print(f"{name}: {session.get().turn_count} turns")


def ask(client: MemoryClient, bank: str, question: str, moment: datetime) -> None:
    """The answer that was right at a moment: what was said last counts for more."""
    told = client.ask_answer(bank, question, as_of=moment, recency=_RECENT)
    print(f"? {question}  (as of {moment:%d %B %Y})")
    print(f"  {told.text or 'not in memory'}")
    for source in told.citations[:1]:
        print(f'  {source.title}: "{source.quote}"')


if __name__ == "__main__":
    main()
