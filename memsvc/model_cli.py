"""`memsvc model init|show|average|conformance`: checkpoints on disk, no server needed.

Loaded by every `memsvc` call that may need the server's commands, so what is heavy waits inside
the command.
"""

from __future__ import annotations

import math
import re
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
    from memsvc_router.api import Identity
    from memsvc_router.decoder.conformance import Check
    from rich.console import Console

_NEEDED = ("torch", "transformers", "tokenizers", "safetensors")
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}

_Model = Annotated[str, typer.Argument(metavar="DIR|HUB_ID", help="A checkpoint.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the command group. Raises ImportError where `memsvc[server]` is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f"memsvc[server] is not installed: {', '.join(missing)}")
    model = typer.Typer(help="Checkpoints of memory models.", no_args_is_help=True)
    model.command("init")(init)
    model.command("show")(show)
    model.command("average")(average)
    model.command("conformance")(conformance)
    app.add_typer(model, name="model")


def init(
    context: typer.Context,
    base: Annotated[str, typer.Argument(metavar="BASE", help="Directory or hub id of a decoder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Directory to write; not there yet.")],
    pool_size: Annotated[int, typer.Option("--pool-size", min=1, help="Tokens of a chunk.")] = 64,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Documents routed to.")] = 16,
    router_layers: Annotated[
        str, typer.Option("--router-layers", help="upper-half, all, or numbers: 18,19,20.")
    ] = "upper-half",
    seed: Annotated[int, typer.Option("--seed", help="Of what is drawn at random.")] = 0,
    max_shard_size: Annotated[
        str, typer.Option("--max-shard-size", help="The most one weights file holds: 500MB, 5GB.")
    ] = "5GB",
    as_json: _Json = False,
) -> None:
    """Give a plain decoder routers, untrained ones: they begin as its attention's projections."""
    output = _output(context, as_json)
    with _refusals(output):
        most = _size(max_shard_size)
        from memsvc_router.decoder.initialise import init_checkpoint

        made = init_checkpoint(base, out, pool_size, top_k, router_layers, seed, most)
    facts = {
        "directory": str(made.folder),
        "router_layers": list(made.router_layers),
        "tokens_added": list(made.tokens_added),
        "routers_copied": made.routers_copied,
        "routers_drawn": made.routers_drawn,
    }
    output.result(facts, lambda console: _lines(console, facts))


def show(context: typer.Context, model: _Model, as_json: _Json = False) -> None:
    """What a checkpoint is: how it routes, what its blocks are known by, whether it has routers.

    Reads all weights to digest them, without loading the model.
    """
    output = _output(context, as_json)
    with _refusals(output):
        facts = _facts(model)
    output.result(facts, lambda console: _lines(console, facts))


def average(
    context: typer.Context,
    models: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Two or more.")],
    out: Annotated[Path, typer.Option("--out", metavar="OUT", help="To write; not there yet.")],
    as_json: _Json = False,
) -> None:
    """The mean of small models trained further from the same one: often better than each."""
    output = _output(context, as_json)
    with _refusals(output):
        from memsvc_router.averaging import average_checkpoints

        identity = average_checkpoints(models, out)
    facts = {"directory": str(out), "averaged": len(models), "identity": identity.digest}
    output.result(facts, lambda console: _lines(console, facts))


def conformance(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="See docs/models.md.")],
    as_json: _Json = False,
) -> None:
    """Does this engine compute what the reference computed? Prints each deviation.

    DIR holds `checkpoint`, `expected.json` and `expected.safetensors`. Exit code 1 if not.
    """
    output = _output(context, as_json)
    with _refusals(output):
        from memsvc_router.decoder.conformance import check

        checks = check(directory)
    facts = {"checks": [_as_json(one) for one in checks]}

    def tell(console: Console) -> None:
        for one in checks:
            verdict = "ok  " if one.ok else "FAIL"
            told = f"{verdict}  {one.name}: {one.deviation:.2e} of {one.bound:.0e}  {one.detail}"
            console.print(told.rstrip())

    wrong = [one.name for one in checks if not one.ok]
    if wrong:
        output.partial(facts, f"Deviates from the reference: {', '.join(wrong)}.", tell)
        raise typer.Exit(exits.FAULT)
    output.result(facts, tell)


@contextmanager
def _refusals(output: Output) -> Iterator[None]:
    """What is wrong with what was named ends the command with its reason."""
    try:
        yield
    except (OSError, ValueError) as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None


def _facts(model: str) -> dict[str, Any]:
    from memsvc_router.config import MODEL_TYPE
    from memsvc_router.decoder.loading import open_checkpoint
    from memsvc_router.decoder.source import find, read_config

    folder, _ = find(model)
    if read_config(folder).get("model_type") == MODEL_TYPE:
        return _small_facts(folder)
    found = open_checkpoint(model)
    config = found.config
    own = "missing: the attention's own queries and keys route" if found.is_plain else "none wanted"
    return _identity_facts(found.identity(found.shards.dtype()), found.shards.bytes) | {
        "layers": config.layers,
        "heads": config.heads,
        "key_value_heads": config.groups,
        "head_width": config.head_width,
        "max_positions": config.max_positions,
        "routers": "own" if config.decouple_router else own,
        "router_layers": list(config.router_layers),
        "top_k": config.top_k,
        "scores": "cosine" if config.cosine else "raw",
        "head_reduce": config.head_reduce,
        "query_reduce": config.query_reduce,
        "chunk_reduce": config.chunk_reduce,
    }


def _small_facts(folder: Path) -> dict[str, Any]:
    from memsvc_router.checkpoint import load_checkpoint

    network, _, identity = load_checkpoint(folder)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    config = network.config
    return _identity_facts(identity, size) | {
        "heads": config.heads,
        "key_value_heads": config.key_value_heads,
        "head_width": config.head_width,
        "routers": "own",
        "router_layers": list(config.router_layers),
    }


def _identity_facts(identity: Identity, size: int) -> dict[str, Any]:
    return {
        "model": identity.model,
        "identity": identity.digest,
        "weights": identity.weights_digest,
        "tokenizer": identity.tokenizer_digest,
        "template": identity.template,
        "pool_size": identity.pool_size,
        "dtype": identity.dtype,
        "bytes": size,
    }


def _as_json(check: Check) -> dict[str, Any]:
    deviation = check.deviation if math.isfinite(check.deviation) else None
    return {
        "name": check.name,
        "deviation": deviation,
        "bound": check.bound,
        "ok": check.ok,
        "detail": check.detail,
    }


def _lines(console: Console, facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        told = ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
        console.print(f"{name.replace('_', ' ')}: {told}")


def _output(context: typer.Context, as_json: bool) -> Output:
    before = context.obj.as_json if isinstance(context.obj, Defaults) else False
    return Output(as_json or before)


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([KMG]B)?", text.strip(), re.IGNORECASE)
    if not found or int(found[1]) < 1:
        raise ValueError(f"--max-shard-size: expected a size such as 500MB or 5GB, got {text!r}")
    return int(found[1]) * _UNITS[(found[2] or "").upper()]
