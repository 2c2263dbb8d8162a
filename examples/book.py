"""One novel, one altered sentence: memory finds it, and lets it be put right.

    python -m examples.book [--seed 7]                (The Call of the Wild, about 40,000 tokens)

A sentence that the author did not write is put somewhere into the novel. The memory is asked about
it, names the chapter and the sentence; then the passage is replaced by the true one. What was
there before is history: kept, told on demand, never recalled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

from memsvc_client import MemoryClient, NewDocument

from examples.connecting import opened, parser

_BOOK = Path(__file__).parent / "data" / "call-of-the-wild.txt"
_ALTERED = "Around his neck Buck wore a red scarf that Mercedes had knitted in Winnipeg."
_QUESTION = "Who knitted the red scarf that Buck wore?"
_WORDS = 120  # of a passage, about


def main() -> None:
    """Alter, remember, ask, put right, ask again."""
    options = parser(__doc__, "book")
    options.add_argument("--seed", type=int, default=7, help="where the sentence goes")
    given = options.parse_args()
    passages = list(cut(_BOOK.read_text("utf-8")))
    place = Random(given.seed).randrange(len(passages))
    chapter, true = passages[place]
    passages[place] = chapter, altered(true)
    with MemoryClient(given.server) as client:
        opened(client, given.bank)
        documents = [NewDocument(t, c, f"p{at:04}") for at, (c, t) in enumerate(passages)]
        for name in client.ingest(given.bank, documents).operations:
            client.wait_operation(name)
        print(f"{len(documents)} passages; the altered one is p{place:04}")
        ask(client, given.bank)
        update = client.update_document(given.bank, f"p{place:04}", text=true, keep_version=True)
        if update.operation is not None:
            client.wait_operation(update.operation)
        print(f"put right: {update.document.id} is at revision {update.document.revision}")
        ask(client, given.bank)
        for version in client.list_document_versions(given.bank, update.document.id):
            print(f"history: revision {version.revision} held it: {_ALTERED in version.text}")


def cut(book: str) -> Iterator[tuple[str, str]]:
    """Chapter and text of passages; paragraphs stay whole."""
    chapter, taken = "", list[str]()
    for paragraph in re.split(r"\n\s*\n", book.strip()):
        if paragraph.startswith("Chapter "):
            if taken:
                yield chapter, "\n".join(taken)
            chapter, taken = paragraph, []
            continue
        taken.append(paragraph)
        if sum(len(one.split()) for one in taken) >= _WORDS:
            yield chapter, "\n".join(taken)
            taken = []
    if taken:
        yield chapter, "\n".join(taken)


def altered(text: str) -> str:
    """The passage with one sentence more, after its first one."""
    first = re.search(r"[.!?][\"'”]?(\s|$)", text)
    at = first.end() if first else len(text)
    return f"{text[:at].rstrip()} {_ALTERED} {text[at:]}".rstrip()


def ask(client: MemoryClient, bank: str) -> None:
    """Question, answer and the words around it."""
    told = client.ask_answer(bank, _QUESTION)
    print(f"? {_QUESTION}\n  {told.text or 'not in memory'}")
    for source in told.citations[:1]:
        text = client.get_document(bank, source.document).text
        start = text.rfind(".", 0, source.start) + 1
        end = text.find(".", source.end) + 1
        print(f'  {source.title}: "{text[start:end].strip()}"')


if __name__ == "__main__":
    main()
