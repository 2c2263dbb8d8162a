"""Options that bench commands share, and the paths that they name. Knows typer; light to load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from memsvc.bench.contest import Rules

Passages = Annotated[
    list[Path],
    typer.Option("--passages", help="Passages or conversations, .jsonl or .jsonl.zst; repeatable."),
]
SomePassages = Annotated[
    list[Path] | None,
    typer.Option("--passages", help="For sets that bring none: .jsonl or .jsonl.zst; repeatable."),
]
Questions = Annotated[
    Path, typer.Option("--questions", help="The set: a file, or a directory of BEIR or BEAM.")
]
Format = Annotated[
    str | None, typer.Option("--format", help="The set's format; by default told by its looks.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="N questions, evenly spread over the set (all passages)."),
]
K = Annotated[int, typer.Option("--k", min=1, max=256, help="Documents routed to.")]
Hops = Annotated[
    int | None,
    typer.Option(
        "--hops",
        min=1,
        max=16,
        help="Rounds of routing and reading at most; by default the service's own cap. Within it "
        "the model stops when it has enough.",
    ),
]
MaxReadTokens = Annotated[
    int | None, typer.Option("--max-read-tokens", min=1, help="Tokens of text read in all.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of samples and of intervals.")]
Paths = Annotated[
    str,
    typer.Option(
        "--paths",
        help="Separated by commas: msa, rag, rag+rerank, hybrid, bm25, iterative-rag, "
        "full-context, files.",
    ),
]
Index = Annotated[str, typer.Option("--index", help="Of dense paths: flat, ivf or hnsw.")]
Embedder = Annotated[
    str | None,
    typer.Option("--embedder", help="Directory or hub id; by default the bundled MiniLM."),
]
Reranker = Annotated[
    str | None, typer.Option("--reranker", help="Directory or hub id of a cross-encoder.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Directory of results.json; the same command goes on with it."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def rules(
    paths: str,
    index: str = "flat",
    embedder: str | None = None,
    reranker: str | None = None,
    k: int = 16,
    max_hops: int | None = None,
    max_read_tokens: int | None = None,
    seed: int = 0,
) -> Rules:
    """What all paths are held to; a `max_hops` of None is the service's own cap.

    Raises UnknownSetting (a path or an index that is none) and InputError (no path, or one twice).
    """
    from typing import cast

    from memsvc_router.api import AskOptions

    from memsvc.bench.contest import Rules
    from memsvc.bench.lines import InputError
    from memsvc.retrieval import IndexKind, PathSettings

    names = [name.strip() for name in paths.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise InputError(f"--paths {paths!r}: names of different paths, separated by commas")
    kind = cast("IndexKind", index)  # PathSettings looks whether it is one
    chosen = tuple(PathSettings(name, kind, embedder, reranker) for name in names)
    cap = max_hops or AskOptions().max_hops
    return Rules(chosen, k, cap, max_read_tokens, seed)
