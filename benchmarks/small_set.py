"""Makes the questions of `make compare-small` from the demo's Factbook passages.

Facts are cut out of the passages by pattern, asked for directly, over two passages, and about
countries that are not there. `python -m benchmarks.small_set` writes small/questions.jsonl.
Knows passages; nothing of engines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PASSAGES = ROOT / "demo" / "corpus" / "factbook.jsonl"
QUESTIONS = Path(__file__).resolve().parent / "small" / "questions.jsonl"

_FACTS = {
    "Capital": re.compile(r"capital: name: ([^;(,]+?)(?=[;(,]|$)"),
    "Elevation": re.compile(r"highest point: (.+?) -?[\d,]+ m\b"),
    "Lowest": re.compile(r"lowest point: (.+?) -?[\d,]+ m\b"),
    "Independence": re.compile(r"independence: (\d{1,2} \w+ \d{4})"),
    "Internet country code": re.compile(r"internet country code: (\.\w\w)\b"),
    "Civil aircraft registration country code prefix": re.compile(r"prefix: (\w{1,3})\b"),
}
_PLACES = {"Lowest": "Elevation"}  # facts that stand in another topic's passage
_PREFIX = "Civil aircraft registration country code prefix"
_DIRECT = {
    "Capital": "Which city is the capital of {}?",
    "Elevation": "What is the name of the highest point in {}?",
    "Lowest": "What is the lowest point of {}?",
    "Independence": "On what date did {} become independent?",
    "Internet country code": "Which internet country code does {} use?",
    _PREFIX: "Which prefix do civil aircraft registered in {} carry?",
}
_OVER_TWO = (
    ("Internet country code", "Capital", "What is the capital of the country with the code {}?"),
    (
        _PREFIX,
        "Elevation",
        "Aircraft registered in one country carry the prefix {}. What is its highest point?",
    ),
)
_ABSENT = ("France", "Sweden", "Mexico", "Thailand", "Ghana", "Poland", "Cuba", "Iraq")
_ABSENT_ASKED = ("Capital", "Elevation", "Independence")

Record = dict[str, Any]


def questions(passages: Path = PASSAGES) -> Iterator[Record]:
    """One record for each question, in memsvc's own format."""
    facts = _facts(passages)
    for topic, form in _DIRECT.items():
        for country, (fact, place) in sorted(facts[topic].items()):
            yield _record(f"one-{place}-{topic}", form.format(country), [fact], [place])
    for known, wanted, form in _OVER_TWO:
        values = [fact for fact, _ in facts[known].values()]
        for country, (clue, first) in sorted(facts[known].items()):
            if country in facts[wanted] and values.count(clue) == 1:
                fact, second = facts[wanted][country]
                yield _record(f"two-{first}-{wanted}", form.format(clue), [fact], [first, second])
    for topic in _ABSENT_ASKED:
        for country in _ABSENT:
            yield _record(f"none-{country}-{topic}", _DIRECT[topic].format(country), [], [])


def _facts(passages: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """For each topic by country: the fact, and the id of the passage that says it."""
    rows = [json.loads(line) for line in passages.read_text(encoding="utf-8").splitlines()]
    found: dict[str, dict[str, tuple[str, str]]] = {topic: {} for topic in _FACTS}
    for row in rows:
        country, topic = row["metadata"]["country"], row["metadata"]["topic"]
        for name, pattern in _FACTS.items():
            if _PLACES.get(name, name) == topic and (match := pattern.search(row["text"])):
                found[name][country] = match[1].strip(), row["id"]
    return found


def _record(name: str, question: str, answers: list[str], evidence: list[str]) -> Record:
    name = re.sub(r"[^a-z0-9-]+", "-", name.lower())
    return {"id": name, "question": question, "answers": answers, "evidence": evidence}


def text() -> str:
    """The whole file."""
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in questions())


if __name__ == "__main__":
    QUESTIONS.parent.mkdir(exist_ok=True)
    QUESTIONS.write_text(text(), encoding="utf-8")
