"""`memsvc doc add`: stores files, folders, stdin and JSON lines, and waits for their encoding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated

import typer
from rich.console import Console

from memsvc_client.cli import exits, sources
from memsvc_client.cli.metadata import parse_pairs
from memsvc_client.cli.output import clean
from memsvc_client.cli.progress import Steps
from memsvc_client.cli.session import BankArgument, JsonOption, ServerOption, Session, session
from memsvc_client.errors import MemsvcError
from memsvc_client.resources import IngestBatch, IngestResult, NewDocument, Operation

_SHOWN_ERRORS = 10


@dataclass(frozen=True)
class Added:
    """The outcome as `--json` shows it. `errors` name a document's place in the input."""

    stored: int
    encoded: int
    failed: int
    errors: list[dict[str, object]]
    skipped: list[tuple[str, str]]
    operations: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing was refused and nothing failed."""
        return not self.errors and not self.failed


def add(
    context: typer.Context,
    bank: BankArgument,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Files, folders, .jsonl files, or - for stdin.",
            show_default=False,
        ),
    ],
    title: Annotated[str, typer.Option("--title", help="Title, for a single document.")] = "",
    document_id: Annotated[str, typer.Option("--id", help="Id, for a single document.")] = "",
    pairs: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="KEY=VALUE", help="Metadata for each; repeatable."),
    ] = None,
    event_time: Annotated[
        str, typer.Option("--event-time", help="When it happened, like 2026-01-31T12:00:00Z.")
    ] = "",
    expire_time: Annotated[str, typer.Option("--expire-time", help="When to forget it.")] = "",
    json_lines: Annotated[
        bool, typer.Option("--jsonl", help="Read all inputs as JSON lines, stdin too.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return when stored, before it is encoded.")
    ] = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add documents and wait until questions find them.

    The id of a file's document comes from its path: adding a folder again changes nothing, and a
    file that has changed since is refused as DOCUMENT_EXISTS. Fields of a JSON line: text, title,
    id, metadata, event_time, expire_time.
    """
    with session(context, server, as_json) as run:
        with _input_errors(run):
            defaults = NewDocument(
                "",
                title,
                document_id,
                parse_pairs(run, pairs or []),
                sources.parse_time(event_time) if event_time else None,
                sources.parse_time(expire_time) if expire_time else None,
            )
            found = sources.find(paths, json_lines)
            added = _add_all(run, bank, found, defaults, wait=not no_wait)
        _report(run, bank, added, waited=not no_wait)


@contextmanager
def _input_errors(run: Session) -> Iterator[None]:
    """What cannot be read ends the command as wrong arguments."""
    try:
        yield
    except MemsvcError:
        raise  # Some of them are OSErrors too, but not about files.
    except (sources.SourceError, OSError) as error:
        raise run.usage(str(error)) from None


def _add_all(
    run: Session,
    bank: str,
    found: list[sources.Source],
    defaults: NewDocument,
    *,
    wait: bool,
) -> Added:
    total = sources.count(found)
    if (defaults.title or defaults.document_id) and total != 1:
        raise sources.SourceError("--title and --id are for a single document")
    skipped = sources.Skipped()
    names: list[str] = []
    done = IngestResult()
    with Steps(run.output.err, quiet=run.output.as_json) as steps:
        storing = steps.step("storing", total)

        def stored(batch: IngestBatch) -> None:
            nonlocal done
            done = done.plus(batch)
            storing.at(done.seen)

        documents = _completed(sources.read(found, skipped), defaults, names)
        try:
            run.client.ingest(bank, documents, on_batch=stored)
        except sources.SourceError as error:
            before = f" ({done.stored:,} documents before it are stored)" if done.stored else ""
            raise sources.SourceError(f"{error}{before}") from None
        ended = _wait(run, steps, done) if wait else []
    return Added(
        done.stored,
        sum(one.done for one in ended),
        sum(one.failed for one in ended),
        [
            {"index": place, "document": names[place], "error": error}
            for place, error in done.errors
        ],
        skipped.files,
        done.operations,
    )


def _completed(
    documents: Iterator[NewDocument], defaults: NewDocument, names: list[str]
) -> Iterator[NewDocument]:
    """The documents with the options filled in; what they are called is kept for error messages."""
    for one in documents:
        made = replace(
            one,
            title=defaults.title or one.title,
            document_id=defaults.document_id or one.document_id,
            metadata={**defaults.metadata, **one.metadata},
            event_time=one.event_time or defaults.event_time,
            expire_time=one.expire_time or defaults.expire_time,
        )
        names.append(made.document_id or made.title)
        yield made


def _wait(run: Session, steps: Steps, done: IngestResult) -> list[Operation]:
    encoding = steps.step("encoding", done.stored)
    ended: list[Operation] = []
    try:
        for name in done.operations:
            watch = encoding.watcher(before=sum(one.done + one.failed for one in ended))
            ended.append(run.client.wait_operation(name, on_progress=watch))
    except KeyboardInterrupt:
        left = " ".join(name.split("/")[-1] for name in done.operations[len(ended) :])
        run.output.say(f"\nAll is stored; encoding goes on. To wait: memsvc op wait {left}")
        raise
    return ended


def _report(run: Session, bank: str, added: Added, *, waited: bool) -> None:
    def show(out: Console) -> None:
        encoded = f", {added.encoded:,} encoded" if waited else ""
        out.print(f"{added.stored:,} documents stored in {bank}{encoded}.")

    for path, reason in added.skipped[:_SHOWN_ERRORS]:
        run.output.say(f"skipped {reason if path in reason else f'{path}: {reason}'}", "yellow")
    if len(added.skipped) > _SHOWN_ERRORS:
        run.output.say(f"skipped {len(added.skipped) - _SHOWN_ERRORS:,} more", "yellow")
    if added.complete:
        run.output.result(added, show)
        return
    reasons = Counter(getattr(one["error"], "reason", "") or "refused" for one in added.errors)
    parts = [f"{count:,} × {reason}" for reason, count in reasons.most_common()]
    if added.failed:
        parts.append(f"{added.failed:,} could not be encoded (memsvc doc list --filter state=…)")
    if not run.output.as_json:
        for one in added.errors[:_SHOWN_ERRORS]:
            run.output.say(f"  {clean(str(one['document']))}: {one['error']}", "red")
    run.output.partial(added, "Not all went in: " + ", ".join(parts), show)
    raise typer.Exit(exits.PARTIAL)
