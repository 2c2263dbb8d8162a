"""`memsvc train`: a router, or a whole model, learns from files.

Loaded by every `memsvc` call that may need the server's commands, so what is heavy waits inside
the command.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from memsvc_client.cli import exits
from memsvc_client.cli.output import Output
from memsvc_client.cli.session import Defaults
from memsvc_client.errors import Internal, ResourceExhausted

from memsvc.train import bank_cli

if TYPE_CHECKING:
    from memsvc.train.running import Outcome

_NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft", "matplotlib")

# Parameters that become settings of a task, and their names there.
_SETTINGS = {
    "questions": "questions",
    "rate": "rate",
    "stage": "stage",
    "mode": "mode",
    "freeze_backbone": "freeze_backbone",
    "gradient_checkpointing": "gradient_checkpointing",
    "documents": "documents",
    "max_tokens": "max_tokens",
    "context_tokens": "context",
    "numbers": "numbers",
    "lora_rank": "lora_rank",
    "dropout": "dropout",
    "masked": "masked",
    "weight": "weights",
    "words_from": "words_from",
}

_Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="passages.jsonl and questions.jsonl."),
]
_Out = Annotated[
    Path | None, typer.Option("--out", metavar="FOLDER", help="Gets the checkpoint; not there yet.")
]
_Work = Annotated[
    Path | None,
    typer.Option("--work", metavar="FOLDER", help="State and metrics; by default OUT.work."),
]
_Base = Annotated[
    str, typer.Option("--base", metavar="small|DIR|HUB_ID", help="What is trained further.")
]
_Steps = Annotated[int | None, typer.Option("--steps", min=1, help="How long to train.")]
_Minutes = Annotated[
    float | None, typer.Option("--minutes", help="How long instead, in minutes of the processor.")
]
_Questions = Annotated[int | None, typer.Option("--questions", min=1, help="Of a step.")]
_Rate = Annotated[float | None, typer.Option("--rate", help="The peak learning rate.")]
_SaveEvery = Annotated[int, typer.Option("--save-every", min=1, help="Steps between two states.")]
_Seed = Annotated[int, typer.Option("--seed", help="Of all that is drawn at random.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
_Stage = Annotated[
    Literal["warmup", "main", "sft"] | None, typer.Option("--stage", help="Weights of the losses.")
]
_Mode = Annotated[
    Literal["full", "lora", "router"] | None,
    typer.Option("--mode", help="What is trained; lora: of a decoder."),
]
_Freeze = Annotated[
    bool | None, typer.Option("--freeze-backbone", help="Warm up a decoder's routers alone.")
]
_Checkpointing = Annotated[
    bool | None, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
]
_Bf16 = Annotated[
    bool | None, typer.Option("--bf16/--fp32", help="What a decoder computes in; bf16 by default.")
]
_Documents = Annotated[
    int | None, typer.Option("--documents", min=1, help="Of a step's pool, for each question.")
]
_MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", help="Longest part of a document that is read.")
]
_Context = Annotated[
    tuple[int, int] | None,
    typer.Option("--context", help="Stage sft: tokens of a step's documents, first and last."),
]
_Numbers = Annotated[
    int | None,
    typer.Option("--numbers", min=2, help="Documents are numbered below it, anew each step."),
]
_Rank = Annotated[int | None, typer.Option("--lora-rank", min=1, help="Of the adapters.")]
_Negatives = Annotated[
    Path | None,
    typer.Option("--negatives", metavar="FOLDER", help="What `memsvc train-data mine` wrote."),
]
_Dropout = Annotated[
    float | None, typer.Option("--dropout", help="Of the small model's reader; 0 by default.")
]
_Masked = Annotated[
    float | None, typer.Option("--masked", help="Share of the words of texts that it cannot see.")
]
_Weight = Annotated[
    list[str] | None,
    typer.Option("--weight", metavar="SET=SHARE", help="Of a data set's questions; repeatable."),
]
_WordsFrom = Annotated[
    list[str] | None,
    typer.Option(
        "--words-from", metavar="SET", help="Its passages weigh a new model's words; repeatable."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command. Raises ImportError where `memsvc[server]` is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f"memsvc[server] is not installed: {', '.join(missing)}")
    app.command("train")(train)


def _from_file(context: typer.Context, path: Path | None) -> Path | None:
    """Options that the command line leaves out come from a TOML file, by the same names."""
    if path is None:
        return None
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path}: {error}") from None
    named = {option.lstrip("-"): p for p in context.command.params for option in p.opts}
    if unknown := sorted(given.keys() - named.keys() | given.keys() & {"config", "help"}):
        raise typer.BadParameter(f"{path}: no option of memsvc train: {', '.join(unknown)}")
    context.default_map = {str(named[key].name): value for key, value in given.items()}
    return path


_Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file with any of these options.",
        is_eager=True,
        callback=_from_file,
    ),
]


def train(
    context: typer.Context,
    data: _Data = None,
    out: _Out = None,
    work: _Work = None,
    base: _Base = "small",
    steps: _Steps = None,
    minutes: _Minutes = None,
    questions: _Questions = None,
    rate: _Rate = None,
    seed: _Seed = 1,
    save_every: _SaveEvery = 100,
    stage: _Stage = None,
    mode: _Mode = None,
    freeze_backbone: _Freeze = None,
    gradient_checkpointing: _Checkpointing = None,
    bf16: _Bf16 = None,
    documents: _Documents = None,
    max_tokens: _MaxTokens = None,
    context_tokens: _Context = None,
    numbers: _Numbers = None,
    lora_rank: _Rank = None,
    negatives: _Negatives = None,
    dropout: _Dropout = None,
    masked: _Masked = None,
    weight: _Weight = None,
    words_from: _WordsFrom = None,
    from_bank: bank_cli.FromBank = None,
    store: bank_cli.StoreOption = None,
    server: bank_cli.ServerOption = None,
    held_back: bank_cli.HeldBack = 0.25,
    promote: bank_cli.Promote = "if-better",
    config: _Config = None,
    as_json: _Json = False,
) -> None:
    """Train the small model or a decoder on questions and the passages that answer them.

    The same command goes on where a run was stopped. Progress is shown on stderr.
    """
    # Read from the context:
    del questions, rate, stage, mode, freeze_backbone, gradient_checkpointing, documents
    del max_tokens, context_tokens, numbers, lora_rank, dropout, masked, weight, words_from, config
    if bank_cli.wanted(context, from_bank):
        bank_cli.train(context, from_bank, store, server, steps, seed, held_back, promote)
        return
    if data is None or out is None:
        raise typer.BadParameter("--data and --out are needed, or --from-bank")
    given = {new: context.params[name] for name, new in _SETTINGS.items()}
    output = _output(context, as_json)
    with _refusals(output):
        from memsvc_router.training.distributed import leave

        from memsvc.train import running

        request = running.Request(
            base=base,
            data=data,
            work=work or out.with_name(f"{out.name}.work"),
            out=out,
            steps=steps,
            minutes=minutes,
            seed=seed,
            save_every=save_every,
            bf16=bf16,
            negatives=negatives,
            settings={name: value for name, value in given.items() if value not in (None, (), [])},
        )
        outcome = running.train(request)
    if outcome.main:
        _tell(output, outcome)
    leave()


def _tell(output: Output, outcome: Outcome) -> None:
    summary = outcome.summary
    facts: dict[str, Any] = {
        "checkpoint": str(outcome.out),
        "metrics": str(outcome.work / "metrics.jsonl"),
        "steps": summary.steps,
        "resumed": summary.resumed,
        "minutes": round(summary.seconds / 60, 2),
        "losses": dict(summary.losses),
    }

    def show(console: Any) -> None:
        told = ", ".join(f"{name} {value:.4f}" for name, value in summary.losses.items())
        console.print(f"{facts['checkpoint']}: {summary.steps} steps, {facts['minutes']} minutes")
        console.print(f"last step: {told}")
        console.print(f"course: {outcome.work / 'metrics.svg'}")

    output.result(facts, show)


@contextmanager
def _refusals(output: Output) -> Iterator[None]:
    """What cannot be trained, kept or gone on with ends the command with its reason."""
    from memsvc_router.training.checkpointing import SaveError
    from memsvc_router.training.loop import TrainingError

    try:
        yield
    except SaveError as error:
        output.fail(ResourceExhausted(str(error)))
        raise typer.Exit(exits.REFUSED) from None
    except TrainingError as error:
        output.fail(Internal(str(error)))
        raise typer.Exit(exits.FAULT) from None
    except (OSError, ValueError) as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None
    except KeyboardInterrupt:
        output.usage("interrupted; the same command goes on from the last saved state")
        raise typer.Exit(exits.INTERRUPTED) from None


def _output(context: typer.Context, as_json: bool) -> Output:
    before = context.obj.as_json if isinstance(context.obj, Defaults) else False
    return Output(as_json or before)
