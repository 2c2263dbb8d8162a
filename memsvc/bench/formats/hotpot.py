"""HotpotQA and 2WikiMultihopQA: the paragraphs of all questions make one bank.

Expects `hotpot_dev_distractor_v1.json` or `hotpot_dev_fullwiki_v1.json` (HotpotQA's own site), or
`dev.json` of 2WikiMultihopQA's `data_ids` archive: a list of objects with `_id`, `question`,
`answer`, `context` ([[title, [sentence, …]], …]) and `supporting_facts` ([[title, number], …]).
In the fullwiki setting the context need not hold the evidence: it then counts as missing.
"""

from __future__ import annotations

from pathlib import Path

from memsvc.bench.corpus import Corpus, Question
from memsvc.bench.formats.filling import Pool
from memsvc.bench.lines import Line, read_records


def read(path: Path) -> Corpus:
    """Raises InputError."""
    pool = Pool()
    questions = [_question(entry, pool) for entry in read_records(path)]
    return Corpus(pool.banks, questions)


def _question(entry: Line, pool: Pool) -> Question:
    ids: dict[str, str] = {}
    for item in entry.items("context"):
        match item:
            case [str(title), list(sentences)] if all(isinstance(s, str) for s in sentences):
                text = "".join(sentences).strip()
                if text:
                    ids[title] = pool.put(title, text)
            case _:
                raise entry.error("'context' must hold pairs of a title and a list of sentences")
    titles = [_title(entry, fact) for fact in entry.items("supporting_facts")]
    return Question(
        id=entry.id("_id", "id"),
        text=entry.text("question"),
        answers=(entry.text("answer"),),
        evidence=tuple(dict.fromkeys(ids.get(title, title) for title in titles)),
    )


def _title(entry: Line, fact: object) -> str:
    match fact:
        case [str(title), *_]:
            return title
        case _:
            raise entry.error("'supporting_facts' must hold pairs of a title and a number")
