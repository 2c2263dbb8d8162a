"""`memsvc model` on the command line: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from memsvc_client.cli import exits
from memsvc_client.cli.app import build
from memsvc_router.checkpoint import DEFAULT_MODEL
from memsvc_router.decoder.loading import load_decoder
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from memsvc.model_cli import register
from tests.conformance_support import TINY
from tests.decoder_support import TEMPLATE, make_checkpoint, make_published, make_tokenizer


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def told(app: typer.Typer, *arguments: object, code: int = exits.OK) -> dict[str, Any]:
    """The envelope of a command that ends with `code`."""
    ran = CliRunner().invoke(app, ["model", *map(str, arguments), "--json"])
    assert ran.exit_code == code, ran.output
    body: dict[str, Any] = json.loads(ran.stdout)
    assert body["ok"] == (code == exits.OK)
    return body["data"] if body["ok"] else body["error"]  # type: ignore[no-any-return]


def test_init_writes_what_show_then_describes(app: typer.Typer, tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path, "llama", tokenizer=make_tokenizer(TEMPLATE[:1]))
    out = tmp_path / "out"
    options = ("--pool-size", 8, "--top-k", 3, "--router-layers", "1,3")
    made = told(app, "init", base, out, *options, "--max-shard-size", "100KB", "--seed", 4)
    assert made["tokens_added"] == ["<|im_end|>", "<|object_ref_end|>"]
    assert (made["routers_copied"], made["routers_drawn"]) == (4, 0)
    assert len(list(out.glob("*.safetensors"))) > 1
    shown = told(app, "show", out)
    assert shown["model"] == "msa/llama/out"
    assert (shown["routers"], shown["router_layers"]) == ("own", [1, 3])
    assert (shown["pool_size"], shown["top_k"], shown["scores"]) == (8, 3, "cosine")
    assert shown["bytes"] == sum(path.stat().st_size for path in out.glob("*.safetensors"))
    assert shown["identity"] == load_decoder(out).identity.digest


def test_show_says_when_routers_are_missing(app: typer.Typer, tmp_path: Path) -> None:
    shown = told(app, "show", make_checkpoint(tmp_path, "mistral"))
    assert shown["routers"].startswith("missing")
    ran = CliRunner().invoke(app, ["model", "show", str(tmp_path / "mistral")])
    assert "routers: missing" in ran.stdout
    assert "router layers: 2, 3" in ran.stdout


def test_show_knows_the_model_that_ships(app: typer.Typer) -> None:
    shown = told(app, "show", DEFAULT_MODEL)
    assert shown["model"] == "memsvc-small"
    assert shown["bytes"] > 1e7


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--router-layers", "9"), "router_layer_idx"),
        (("--max-shard-size", "big"), "--max-shard-size"),
        (("--max-shard-size", "0GB"), "--max-shard-size"),
    ],
)
def test_wrong_options_are_a_usage_error_and_write_nothing(
    app: typer.Typer, tmp_path: Path, options: tuple[str, ...], named: str
) -> None:
    base = make_checkpoint(tmp_path, "qwen3")
    error = told(app, "init", base, tmp_path / "out", *options, code=exits.USAGE)
    assert named in error["message"]
    assert not (tmp_path / "out").exists()


def test_init_refuses_to_write_over_something(app: typer.Typer, tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path, "qwen3")
    error = told(app, "init", base, base, code=exits.USAGE)
    assert "not an empty directory" in error["message"]


def test_what_is_no_checkpoint_is_told_without_a_traceback(
    app: typer.Typer, tmp_path: Path
) -> None:
    made = make_published(tmp_path)
    (made / "tokenizer.json").unlink()
    for command in ("show", "conformance"):
        error = told(app, command, tmp_path / "gone", code=exits.USAGE)
        assert "gone" in error["message"]
    assert "tokenizer.json" in told(app, "show", made, code=exits.USAGE)["message"]


def test_conformance_prints_each_deviation_and_the_exit_code_tells(
    app: typer.Typer, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(TINY, tmp_path / "tiny"))
    checks = {check["name"]: check for check in told(app, "conformance", folder)["checks"]}
    assert {"query.logits", "route.2", "memory.3.routing_key", "greedy_tokens"} <= set(checks)
    assert all(check["ok"] for check in checks.values())
    expected = load_file(folder / "expected.safetensors")
    expected["query.logits"][0, 0] = float("nan")
    save_file(expected, folder / "expected.safetensors")
    error = told(app, "conformance", folder, code=exits.FAULT)
    assert "query.logits" in error["message"]
    failed = [check for check in error["data"]["checks"] if not check["ok"]]
    assert [(check["name"], check["deviation"]) for check in failed] == [("query.logits", None)]
    ran = CliRunner().invoke(app, ["model", "conformance", str(folder)])
    assert ran.exit_code == exits.FAULT
    assert "FAIL  query.logits" in ran.stdout
    assert "ok    greedy_tokens" in ran.stdout


def test_the_command_line_has_the_group() -> None:
    groups = {group.name for group in build(with_server=True).registered_groups}
    assert "model" in groups
