"""`memsvc train`: checkpoints that load, runs that go on, and what bad input gets."""

from __future__ import annotations

import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from memsvc_client.cli import exits
from memsvc_router.models import load_model
from memsvc_router.training.checkpointing import STATE
from memsvc_router.training.rows import Passage, Question, TrainingSet, write_set
from typer.testing import CliRunner

from memsvc.train.cli import register
from tests.decoder_support import make_checkpoint, make_published
from tests.router_support import TOWNS

SET = TrainingSet(
    tuple(Passage(name, "towns", town.title, town.text) for name, town in TOWNS.items()),
    tuple(
        Question(name, "towns", text, (answer,), evidence, True, True, True, "")
        for name, text, answer, evidence in (
            ("born", "Where was Marie Curie born?", "Warsaw", ("marie",)),
            ("river", "Which river does Curie's town lie on?", "Vistula", ("marie", "warsaw")),
            ("italy", "What is the capital of Italy?", "Rome", ("rome",)),
        )
    ),
)
TINY = ("--questions", 2, "--documents", 1, "--max-tokens", 256, "--fp32", "--save-every", 1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_set(tmp_path / "data", SET)
    return tmp_path / "data"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_published(tmp_path, layers=2, msa={"router_layer_idx": "1"})


def told(*arguments: object, code: int = exits.OK) -> dict[str, Any]:
    """The data, or else the error, of `memsvc train` that ends with `code`."""
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    words = ["train", *map(str, arguments), "--json"]
    ran = CliRunner().invoke(app, words, standalone_mode=False)  # as `memsvc` runs it
    if ran.exception is not None:  # wrong words, for which `memsvc` itself makes the envelope
        assert isinstance(ran.exception, typer.BadParameter), ran.exc_info
        return {"message": str(ran.exception)}
    assert (ran.return_value or exits.OK) == code, ran.output
    body: dict[str, Any] = json.loads(ran.stdout)
    assert body["ok"] == (code == exits.OK)
    return body["data"] if body["ok"] else body["error"]  # type: ignore[no-any-return]


def refused(*arguments: object) -> str:
    """The message of a command that is wrong in itself."""
    message: str = told(*arguments, code=exits.USAGE)["message"]
    return message


def test_a_decoder_is_trained_and_goes_on(tmp_path: Path, base: Path, data: Path) -> None:
    run = ("--base", base, "--data", data, "--work", tmp_path / "work", "--stage", "main", *TINY)
    first = told(*run, "--out", tmp_path / "first", "--steps", 2)
    assert (first["steps"], first["resumed"]) == (2, 0)
    assert first["losses"]["loss"] > 0
    more = told(*run, "--out", tmp_path / "second", "--steps", 3)
    assert (more["steps"], more["resumed"]) == (3, 2)
    assert len(Path(more["metrics"]).read_text().splitlines()) == 3
    assert (tmp_path / "work/metrics.svg").exists()
    model = load_model(str(tmp_path / "second"))
    assert model.identity.digest != load_model(str(base)).identity.digest


def test_a_small_model_is_trained_from_its_encoder(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "out"
    made = told("--data", data, "--out", out, "--steps", 1, "--questions", 2)
    assert made["steps"] == 1
    assert (tmp_path / "out.work" / STATE).exists()
    assert load_model(str(out)).identity.model


def test_options_come_from_a_file_and_the_command_line_wins(
    tmp_path: Path, base: Path, data: Path
) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        f'base = "{base}"\ndata = "{data}"\nsteps = 9\nquestions = 2\ndocuments = 1\n'
        "bf16 = false\nmax-tokens = 256\ncontext = [64, 128]\nstage = 'sft'\n"
    )
    made = told("--config", config, "--out", tmp_path / "out", "--steps", 1)
    assert made["steps"] == 1
    config.write_text("step = 9\n")
    assert "no option of memsvc train: step" in refused("--config", config)
    config.write_text("steps = ")
    assert str(config) in refused("--config", config)


def test_another_run_is_not_gone_on_with(tmp_path: Path, base: Path, data: Path) -> None:
    run = ("--work", tmp_path / "work", "--steps", 2, *TINY)
    told("--base", base, "--data", data, "--out", tmp_path / "out", *run)
    before = (tmp_path / "work" / STATE).read_bytes()
    again = ("--out", tmp_path / "again", *run)
    assert "its stage is" in refused("--base", base, "--data", data, "--stage", "main", *again)
    assert "its mode is" in refused("--base", base, "--data", data, "--mode", "router", *again)
    other = tmp_path / "other"
    write_set(other, replace(SET, questions=SET.questions[:2]))
    assert "its data is" in refused("--base", base, "--data", other, *again)
    (tmp_path / "b").mkdir()
    unlike = make_published(tmp_path / "b", layers=2, msa={"router_layer_idx": "1"}, seed=5)
    assert "its base is" in refused("--base", unlike, "--data", data, *again)
    assert (tmp_path / "work" / STATE).read_bytes() == before
    assert not (tmp_path / "again").exists()


def test_rows_that_cannot_teach(tmp_path: Path, data: Path) -> None:
    run = ("--data", data, "--out", tmp_path / "out", "--steps", 1)
    wrong = replace(SET.questions[0], evidence=("nobody",))
    write_set(data, replace(SET, questions=(wrong,)))
    assert "questions.jsonl.zst:1: evidence 'nobody'" in refused(*run)
    wrong = replace(SET.questions[0], answers=("Atlantis",))
    write_set(data, replace(SET, questions=(wrong,)))
    assert "Atlantis" in refused(*run)
    assert "holds neither passages.jsonl" in refused("--data", tmp_path, *run[2:])


def test_bases_that_cannot_be_trained(tmp_path: Path, data: Path) -> None:
    run = ("--data", data, "--out", tmp_path / "out", "--steps", 1)
    plain = make_checkpoint(tmp_path, "llama", layers=2)
    assert "memsvc model init" in refused(*run, "--base", plain)
    other = tmp_path / "other"
    shutil.copytree(plain, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    assert "bert" in refused(*run, "--base", other)
    assert "no such directory" in refused(*run, "--base", tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


def test_options_that_do_not_go_together(tmp_path: Path, base: Path, data: Path) -> None:
    run = ("--data", data, "--out", tmp_path / "out")
    assert "steps or minutes" in refused(*run)
    assert "--documents: is for decoders" in refused(*run, "--steps", 1, "--documents", 8)
    assert "--bf16: is for decoders" in refused(*run, "--steps", 1, "--bf16")
    assert "--mode lora: is for decoders" in refused(*run, "--steps", 1, "--mode", "lora")
    assert "squad=0.3" in refused(*run, "--steps", 1, "--weight", "squad")
    assert "no data set 'nothing'" in refused(*run, "--steps", 1, "--weight", "nothing=1")
    assert "--rate: expected more than 0" in refused(*run, "--steps", 1, "--rate", -1)
    for share in ("--dropout", "--masked"):
        assert f"{share}: expected from 0 to less than 1" in refused(*run, "--steps", 1, share, 1)
    decoder = (*run, "--base", base, "--steps", 1)
    assert "freeze_backbone" in refused(*decoder, "--stage", "main", "--freeze-backbone")
    assert "--weight: is for the small model" in refused(*decoder, "--weight", "squad=1")
    assert "--masked: is for the small model" in refused(*decoder, "--masked", 0.1)
    assert "run memsvc train-data mine" in refused(*decoder, "--negatives", tmp_path)
    (tmp_path / "out").mkdir()
    assert "is there already" in refused(*decoder)


def test_a_full_disk_keeps_the_last_state(tmp_path: Path, base: Path, data: Path) -> None:
    run = ("--base", base, "--data", data, "--work", tmp_path / "work", *TINY)
    told(*run, "--out", tmp_path / "first", "--steps", 1)
    state = (tmp_path / "work" / STATE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(state) // 2, hard))
    try:
        error = told(*run, "--out", tmp_path / "second", "--steps", 2, code=exits.REFUSED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error["code"] == "RESOURCE_EXHAUSTED"
    assert "state.pt could not be written" in error["message"]
    assert (tmp_path / "work" / STATE).read_bytes() == state
    assert told(*run, "--out", tmp_path / "second", "--steps", 2)["resumed"] == 1
