"""Build demo/corpus/*.jsonl from World Factbook passages and Python PEPs.

    python demo/build_corpus.py FACTBOOK.jsonl[.zst] PEPS.jsonl[.zst]

Both inputs hold `{"title", "text", …}` per line; titles are "Country - Topic" and "PEP N: name".
Takes only PEPs whose own copyright section says "public domain". Knows nothing of memsvc: its
output is what `memsvc doc add` reads. Run by hand; the result is committed.
"""

from __future__ import annotations

import argparse
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import zstandard

CORPUS = Path(__file__).parent / "corpus"

COUNTRIES = (
    *("Argentina", "Australia", "Bhutan", "Bolivia", "Brazil", "Canada", "Chile", "Egypt"),
    *("Ethiopia", "Finland", "Georgia", "Iceland", "India", "Indonesia", "Italy", "Japan"),
    *("Kenya", "Madagascar", "Mongolia", "Morocco", "Nepal", "Norway", "Peru", "Portugal"),
    *("Tanzania", "Vietnam"),
)
TOPICS = (
    *("Background", "Location", "Climate", "Terrain", "Elevation", "Natural resources"),
    *("Capital", "Independence", "National symbol(s)", "National anthem(s)", "Languages"),
    *("Internet country code", "Civil aircraft registration country code prefix"),
)
PEPS = (
    *(8, 20, 234, 255, 257, 289, 308, 318, 328, 342, 343, 380, 405, 420, 435, 440, 441, 443, 448),
    *(450, 465, 471, 484, 492, 498, 506, 515, 518, 519, 525, 526, 530, 544, 552, 557, 562, 563),
    *(567, 570, 572, 574, 584, 585, 589, 593, 602, 604, 612, 615, 616, 617, 621, 634, 646, 649),
    *(654, 657, 659, 668, 673, 680, 684, 695, 698, 701, 703, 709, 723, 734, 744, 750, 765, 784),
    *(3107, 3119, 3129, 3131, 3132, 3141),
)
SECTIONS_PER_PEP = 2
ID_LENGTH = 60
WORDS = range(40, 260)  # a section outside is left out, or cut at a paragraph
UNWANTED_SECTIONS = re.compile(
    r"(?i)reference|copyright|acknowledg|footnote|links|changelog|todo|warning|notice|status of"
)
CODE = re.compile(r"^(>>>|[:#$@{\[(<|]|\.\.|def |class |import |from \S+ import|https?://)")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSON-lines file, plain or zstd-compressed."""
    raw = path.read_bytes()
    if path.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().stream_reader(raw).read()
    return (json.loads(line) for line in raw.decode().splitlines())


def document_id(text: str) -> str:
    """Lower-case ASCII words joined by dashes, at most 60 characters of them."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    joined = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return joined if len(joined) <= ID_LENGTH else joined[: ID_LENGTH + 1].rpartition("-")[0]


def factbook_documents(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One document for each wanted country and topic."""
    wanted = {f"{country} - {topic}": country for country in COUNTRIES for topic in TOPICS}
    for record in records:
        country = wanted.pop(record["title"], None)
        if country is None or record.get("dataset") != "factbook_synth":
            continue
        topic = record["title"].removeprefix(f"{country} - ")
        yield {
            "id": document_id(f"factbook {record['title']}"),
            "title": record["title"],
            "text": record["text"],
            "metadata": {"source": "factbook", "country": country, "topic": topic},
        }


def pep_documents(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The first good sections of each wanted PEP that its authors gave to the public."""
    texts: dict[int, tuple[str, list[str]]] = {}
    for record in records:
        found = re.fullmatch(r"PEP (\d+): (.+)", record["title"])
        if found and int(found[1]) in PEPS:
            texts.setdefault(int(found[1]), (found[2], []))[1].append(record["text"])
    for number, (name, pieces) in sorted(texts.items()):
        whole = "\n\n".join(pieces)
        if "public domain" not in whole[whole.rfind("Copyright") :]:
            continue
        yield from pep_sections(number, name.replace("``", ""), whole)


def pep_sections(number: int, name: str, whole: str) -> Iterator[dict[str, Any]]:
    taken = 0
    for section, text in sections(whole):
        if taken == SECTIONS_PER_PEP or UNWANTED_SECTIONS.search(section):
            continue
        if len(text.split()) < WORDS.start:
            continue
        taken += 1
        title = f"PEP {number}: {name} - {section}"
        yield {
            "id": document_id(f"pep {number} {section}"),
            "title": title,
            "text": text,
            "metadata": {"source": "pep", "pep": number, "section": section},
        }


def sections(whole: str) -> Iterator[tuple[str, str]]:
    """Headings with the prose below them, cut at a paragraph before it grows too long."""
    heading, words, kept, full = "Introduction", 0, list[str](), False
    for raw in whole.split("\n\n"):
        paragraph = re.sub(r"\s+", " ", raw).strip()
        if is_heading(paragraph):
            if kept:
                yield heading, "\n\n".join(kept)
            heading, words, kept, full = paragraph, 0, [], False
        elif paragraph and not CODE.match(paragraph):
            words += len(paragraph.split())
            full = full or (words >= WORDS.stop and bool(kept))
            if not full:
                kept.append(paragraph)
    if kept:
        yield heading, "\n\n".join(kept)


def is_heading(paragraph: str) -> bool:
    """A short line that begins like a title and does not end like a sentence."""
    return (
        0 < len(paragraph) <= 70
        and paragraph[0].isupper()
        and paragraph[-1] not in ".:;,!)"
        and "=" not in paragraph
    )


def write(path: Path, documents: Iterable[dict[str, Any]]) -> None:
    """Write JSON lines, and say how many."""
    rows = [json.dumps(document, ensure_ascii=False) for document in documents]
    path.write_text("\n".join(rows) + "\n")
    print(f"{path}: {len(rows)} documents")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("factbook", type=Path)
    parser.add_argument("peps", type=Path)
    given = parser.parse_args()
    CORPUS.mkdir(exist_ok=True)
    write(CORPUS / "factbook.jsonl", factbook_documents(read_lines(given.factbook)))
    write(CORPUS / "peps.jsonl", pep_documents(read_lines(given.peps)))


if __name__ == "__main__":
    main()
