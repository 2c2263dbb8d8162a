"""Where is it? A memory of a code base that follows its changes.

    python -m examples.codebase index .               (again after changes: only those are taken in)
    python -m examples.codebase ask "Where are page tokens signed?"

Python files are remembered by top-level functions and classes, Markdown files by sections; an
answer names file and line.
"""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from memsvc_client import AskOptions, MemoryClient, NewDocument

from examples.connecting import opened, parser

_MOST_CHARACTERS = 4000  # of a piece: its beginning says what it is for
_SHOWN = 5


def main() -> None:
    """Index a folder, or ask."""
    options = parser(__doc__, "codebase")
    verbs = options.add_subparsers(dest="verb", required=True)
    verbs.add_parser("index").add_argument("folder", type=Path)
    verbs.add_parser("ask").add_argument("question")
    given = options.parse_args()
    with MemoryClient(given.server) as client:
        opened(client, given.bank)
        if given.verb == "index":
            index(client, given.bank, given.folder)
        else:
            ask(client, given.bank, given.question)


def index(client: MemoryClient, bank: str, folder: Path) -> None:
    """Bring the bank in line with the files."""
    found = {one.document_id: one for path in _files(folder) for one in pieces(folder, path)}
    held = {one.id: one.metadata["digest"] for one in client.list_documents(bank)}
    gone = [f"banks/{bank}/documents/{name}" for name in held.keys() - found.keys()]
    fresh = [one for name, one in found.items() if name not in held]
    other = [one for name, one in found.items() if held.get(name, "") != one.metadata["digest"]]
    changed = [one for one in other if one.document_id in held]
    for at in range(0, len(gone), 1000):
        client.forget_documents(bank, documents=gone[at : at + 1000])
    waiting = list(client.ingest(bank, fresh).operations)
    for one in changed:
        update = client.update_document(
            bank, one.document_id, title=one.title, text=one.text, metadata=one.metadata
        )
        waiting += [update.operation.name] if update.operation else []
    for name in waiting:
        client.wait_operation(name)
    print(f"{len(found)} pieces: {len(fresh)} new, {len(changed)} changed, {len(gone)} gone")


def ask(client: MemoryClient, bank: str, question: str) -> None:
    """The places that a question needs, best first."""
    found = client.recall(bank, question, options=AskOptions(k=_SHOWN, max_hops=1))
    print(f"? {question}")
    for hit in found.hits[:_SHOWN]:
        facts = client.get_document(bank, hit.document).metadata
        print(f"  {facts['path']}:{facts['line']}  {facts['name']}")


def pieces(folder: Path, path: Path) -> Iterator[NewDocument]:
    """A file as documents; one that does not parse is one."""
    text = path.read_text("utf-8", errors="replace")
    name = path.relative_to(folder).as_posix()
    cut = _python if path.suffix == ".py" else _markdown
    for number, (line, what, part) in enumerate(cut(text)):
        if not part.strip():
            continue
        part = part[:_MOST_CHARACTERS]
        digest = hashlib.sha256(f"{what}\n{line}\n{part}".encode()).hexdigest()[:16]
        place = hashlib.sha256(f"{name}#{what}#{number}".encode()).hexdigest()[:32]
        facts: dict[str, str | int] = {"path": name, "line": line, "name": what, "digest": digest}
        yield NewDocument(part, f"{name}: {what}", place, facts)


def _python(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, name and source of the module's opening, and of each function and class."""
    lines = text.splitlines(keepends=True)
    try:
        body = ast.parse(text).body
    except SyntaxError:
        yield 1, "module", text
        return
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    parts = [node for node in body if isinstance(node, kinds)]
    first = parts[0].lineno if parts else len(lines) + 1
    yield 1, "module", "".join(lines[: first - 1])
    for node in parts:
        yield node.lineno, node.name, "".join(lines[node.lineno - 1 : node.end_lineno])


def _markdown(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, heading and text of each section."""
    line = 1
    for part in re.split(r"^(?=#+ )", text, flags=re.MULTILINE):
        heading = part.partition("\n")[0].lstrip("# ").strip()
        yield line, heading[:200] or "beginning", part
        line += part.count("\n")


def _files(folder: Path) -> list[Path]:
    """What git knows of, in Python and Markdown."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.py", "*.md"], cwd=folder, capture_output=True, check=True
    )
    names = listed.stdout.decode().split("\0")
    return [path for name in names if name and (path := folder / name).is_file()]


if __name__ == "__main__":
    main()
