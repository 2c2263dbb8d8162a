"""`memsvc train-data …`: making, checking and cleaning training sets; no server needed.

Loaded by every `memsvc` call that may need the server's commands, so what is heavy waits inside
the command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from memsvc_client.cli import exits
from memsvc_client.cli.output import Output
from memsvc_client.cli.session import Defaults

if TYPE_CHECKING:
    from memsvc_router.training.rows import TrainingSet
    from rich.console import Console

_NEEDED = ("torch", "transformers", "bm25s", "zstandard")
_EVERY = ("hotpot", "2wiki", "musique")  # formats whose questions need all of their evidence

_Set = Annotated[Path, typer.Argument(metavar="SET", help="Folder of a training set.")]
_Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write a set to.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
_Seed = Annotated[int, typer.Option("--seed", help="Of what is drawn at random.")]


def register(app: typer.Typer) -> None:
    """Add the command group. Raises ImportError where `memsvc[server]` is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f"memsvc[server] is not installed: {', '.join(missing)}")
    group = typer.Typer(help="Training sets: make, check, clean.", no_args_is_help=True)
    group.command("check")(check)
    group.command("import")(import_set)
    group.command("merge")(merge)
    group.command("mine")(mine)
    group.command("prose")(prose)
    group.command("chains")(chains)
    group.command("bridges")(bridges)
    group.command("compose")(compose)
    group.command("decontaminate")(decontaminate)
    app.add_typer(group, name="train-data")


def check(
    context: typer.Context,
    folder: _Set,
    drop_bad: Annotated[
        Path | None, typer.Option("--drop-bad", metavar="OUT", help="Write a clean copy there.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Count rows that break a rule; exit code 1 if there are any and no copy is asked for.

    In the copy such rows are missing; questions whose answer is not in the text stay for routing.
    """
    output = _output(context, as_json)
    with _refusals(output):
        from memsvc_router.training.rows import inspect_set, write_set

        found, faults = inspect_set(folder)
        if drop_bad:
            write_set(drop_bad, found)
    kinds = dict(Counter(fault.kind for fault in faults))
    facts = _sizes(found) | {"faults": kinds, "first": faults[0].problem if faults else ""}
    if faults and not drop_bad:
        wrong = f"{len(faults)} rows break rules."
        output.partial(facts, wrong, lambda console: _lines(console, facts))
        raise typer.Exit(exits.FAULT)
    output.result(facts, lambda console: _lines(console, facts))


def import_set(
    context: typer.Context,
    questions: Annotated[Path, typer.Argument(metavar="FILE", help="Of a published set.")],
    out: _Out,
    format: Annotated[
        str | None, typer.Option("--format", help="See docs/bench.md; found out if not given.")
    ] = None,
    passages: Annotated[
        list[Path] | None, typer.Option("--passages", help="Where the set brings none.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the data set in its rows.")] = None,
    as_json: _Json = False,
) -> None:
    """Turn a file that `memsvc bench` reads into a training set."""
    output = _output(context, as_json)
    with _refusals(output):
        from memsvc_router.training.readers import as_rows
        from memsvc_router.training.rows import write_set

        from memsvc.bench.formats.choosing import detect, read_set

        known = format or detect(questions)
        corpus = read_set(questions, passages or (), known)
        found = as_rows(name or known, corpus.banks, corpus.questions, known in _EVERY)
        write_set(out, found)
    left = len(corpus.questions) - len(found.questions)
    _tell(output, _sizes(found) | {"without_evidence": left})


def merge(
    context: typer.Context,
    folders: Annotated[list[Path], typer.Argument(metavar="SET… OUT", help="The last is written.")],
    as_json: _Json = False,
) -> None:
    """Put sets together; of rows with the same id the first stays."""
    output = _output(context, as_json)
    with _refusals(output):
        if len(folders) < 2:
            raise ValueError("expected at least one set and the folder to write")
        from memsvc_router.training.readers import merged
        from memsvc_router.training.rows import read_set, write_set

        found = merged(read_set(folder) for folder in folders[:-1])
        write_set(folders[-1], found)
    _tell(output, _sizes(found))


def mine(
    context: typer.Context,
    folder: _Set,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for negatives.json.")],
    model: Annotated[
        str | None, typer.Option("--model", help="Directory, hub id or 'default'; else BM25 alone.")
    ] = None,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Negatives of a question.")] = 8,
    as_json: _Json = False,
) -> None:
    """Find hard negatives; nothing is done where they are there from the same set and miner."""
    output = _output(context, as_json)
    with _refusals(output):
        from memsvc_router.training import mining
        from memsvc_router.training.rows import read_set

        found = read_set(folder)
        miner = None
        if model is not None:
            from memsvc_router import load_default_model, load_model

            miner = load_default_model() if model == "default" else load_model(model)
        options, name = mining.MiningOptions(keep=keep), mining.miner_name(miner)
        there = mining.mined_as(out, found, options, name)
        if not there:
            mined = mining.mine_negatives(found, options, miner)
            mining.save_negatives(out, found, mined, options, name)
        counts = [len(row) for row in mining.load_negatives(out, found)]
    _tell(output, {"questions": len(counts), "negatives": sum(counts), "were_there": there})


def prose(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="TEXTS… OUT", help="The last is written.")],
    seed: _Seed = 0,
    as_json: _Json = False,
) -> None:
    """Make self-supervised questions from raw texts: .jsonl, .txt, .md or folders of texts."""
    output = _output(context, as_json)
    with _refusals(output):
        if len(files) < 2:
            raise ValueError("expected at least one file of texts and the folder to write")
        from memsvc_router.training.prose import ProseOptions, make_prose, read_prose
        from memsvc_router.training.rows import write_set

        found = make_prose(read_prose(files[:-1]), ProseOptions(seed=seed))
        write_set(files[-1], found)
    _tell(output, _sizes(found) | {"types": _types(found)})


def chains(
    context: typer.Context,
    out: _Out,
    questions: Annotated[int, typer.Option("--questions", min=1, help="How many.")] = 6000,
    seed: _Seed = 0,
    lookalikes: Annotated[
        float, typer.Option("--lookalikes", min=0, max=1, help="Share of names like others.")
    ] = 0.3,
    avoid: Annotated[
        list[Path] | None, typer.Option("--avoid", help="Passages whose titles are not used.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Make multi-hop questions over a made-up world."""
    output = _output(context, as_json)
    with _refusals(output):
        from memsvc_router.training.chains import ChainOptions, make_chains
        from memsvc_router.training.lines import read_lines
        from memsvc_router.training.rows import write_set

        lines = (line for path in avoid or () for line in read_lines(path))
        taken = frozenset(str(line.record.get("title") or "").lower() for line in lines)
        found = make_chains(ChainOptions(questions, seed, lookalikes, taken=taken))
        write_set(out, found)
    _tell(output, _sizes(found) | {"types": _types(found)})


def bridges(
    context: typer.Context, folder: _Set, out: _Out, seed: _Seed = 0, as_json: _Json = False
) -> None:
    """Compose two-hop questions from a set's own single-hop questions and passages."""
    output = _output(context, as_json)
    with _refusals(output):
        from memsvc_router.training.bridges import BridgeOptions, make_bridges
        from memsvc_router.training.rows import read_set, write_set

        found = make_bridges(read_set(folder), BridgeOptions(seed=seed))
        write_set(out, found)
    _tell(output, _sizes(found) | {"types": _types(found)})


def compose(
    context: typer.Context,
    folder: _Set,
    out: _Out,
    questions: Annotated[int, typer.Option("--questions", min=1, help="At most.")] = 8000,
    seed: _Seed = 0,
    as_json: _Json = False,
) -> None:
    """Put a set's single-hop questions into one another: the inner one's answer is the name that
    it replaces."""
    output = _output(context, as_json)
    with _refusals(output):
        from memsvc_router.training import composing
        from memsvc_router.training.rows import read_set, write_set

        options = composing.ComposeOptions(seed=seed, questions=questions)
        found = composing.compose(read_set(folder), options)
        write_set(out, found)
    _tell(output, _sizes(found) | {"types": _types(found)})


def decontaminate(
    context: typer.Context,
    folder: _Set,
    out: _Out,
    against: Annotated[list[Path], typer.Option("--against", help="JSON lines that judge.")],
    as_json: _Json = False,
) -> None:
    """Drop what shares a question, a passage or 13 words in a row with given files."""
    output = _output(context, as_json)
    with _refusals(output):
        from memsvc_router.training import decontamination
        from memsvc_router.training.rows import read_set, write_set

        known = decontamination.read_known(against)
        cleaned = decontamination.decontaminate(read_set(folder), known)
        write_set(out, cleaned.found)
    dropped = {"questions_dropped": cleaned.questions, "passages_dropped": cleaned.passages}
    _tell(output, _sizes(cleaned.found) | dropped)


@contextmanager
def _refusals(output: Output) -> Iterator[None]:
    """What is wrong with what was named ends the command with its reason."""
    try:
        yield
    except (OSError, ValueError) as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None


def _sizes(found: TrainingSet) -> dict[str, Any]:
    return {"passages": len(found.passages), "questions": len(found.questions)}


def _types(found: TrainingSet) -> dict[str, int]:
    return dict(Counter(question.type for question in found.questions))


def _tell(output: Output, facts: dict[str, Any]) -> None:
    output.result(facts, lambda console: _lines(console, facts))


def _lines(console: Console, facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        shown = (
            ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        console.print(f"{name.replace('_', ' ')}: {shown}", highlight=False, markup=False)


def _output(context: typer.Context, as_json: bool) -> Output:
    before = context.obj.as_json if isinstance(context.obj, Defaults) else False
    return Output(as_json or before)
