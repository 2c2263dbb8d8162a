"""compare() of both clients and `memsvc compare`, against a real server over the small model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from memsvc_client import (
    AsyncMemoryClient,
    CompareQuestion,
    CompareResult,
    CompareSettings,
    CompareSummary,
    InvalidArgument,
    MemoryClient,
)
from memsvc_client.cli import exits
from memsvc_client.cli.question_lines import read_questions
from memsvc_client.cli.sources import SourceError

from memsvc.bench.results import Results
from tests.compare_support import TEXTS
from tests.e2e_support import environment
from tests.server_support import Served, serving

PATHS = ["msa", "bm25", "files"]
QUESTIONS = [
    CompareQuestion("Where lives the whale?", ["The blue whale lives in the ocean."], ["d1"]),
    CompareQuestion("Quantum chromodynamics?", []),
    CompareQuestion("What hunts mice?", id="free"),
]
LINES = (
    '{"question": "Where lives the whale?", "answers": "The blue whale lives in the ocean.",'
    ' "evidence": ["d1"], "id": "whale"}\n'
    "\n"
    '{"question": "Quantum chromodynamics?", "answers": []}\n'
    "What hunts mice?\n"
)


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data") as served:
        await served.create_bank()
        await served.add(*TEXTS, title="A <title>")
        yield served


async def memsvc(
    server: Served, *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "memsvc_client.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment(), "MEMSVC_SERVER": server.address},
    )


async def test_events_are_typed_and_end_with_the_complete_summary(server: Served) -> None:
    async with AsyncMemoryClient(server.address) as client:
        settings = CompareSettings(k=2)
        told = [one async for one in client.compare("b", QUESTIONS, paths=PATHS, settings=settings)]
    results = [one for one in told if isinstance(one, CompareResult)]
    assert len(results) == 9
    whale = next(one for one in results if one.question.id == "1" and one.path == "msa")
    assert (whale.em, whale.hits[0], whale.citations[0].title) == (1.0, "d1", "A <title>")
    assert {one.em for one in results if one.question.id == "free"} == {None}
    assert {one.question.answers for one in results if one.question.id == "2"} == {()}
    last = told[-1]
    assert isinstance(last, CompareSummary)
    assert last.complete
    assert last.settings["k"] == 2


async def test_the_report_is_schema_1_for_both_clients(server: Served) -> None:
    def blocking() -> dict[str, Any]:
        with MemoryClient(server.address) as client:
            return client.compare_report("b", QUESTIONS, paths=PATHS, title="T")

    async with AsyncMemoryClient(server.address) as client:
        seen: list[object] = []
        ours = await client.compare_report(
            "b", QUESTIONS, paths=PATHS, title="T", on_event=seen.append
        )
    theirs = await asyncio.to_thread(blocking)
    assert seen
    for report in (ours, theirs):
        results = Results.from_dict(json.loads(json.dumps(report)))
        assert [one.path for one in results.paths] == PATHS
        assert all(len(one.questions) == 3 for one in results.paths)
        assert results.bank["documents"] == 3
    answers = [
        [q["answer"] for p in one["paths"] for q in p["questions"]] for one in (ours, theirs)
    ]
    assert sorted(answers[0]) == sorted(answers[1])


@pytest.mark.parametrize(
    ("questions", "paths", "field"),
    [
        ("one?", (), "questions"),
        (["q"], "msa", "paths"),
        ([CompareQuestion("q", answers="a")], (), "questions[0].answers"),
        (["\ud800"], (), "questions[0].text"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_it_is(
    server: Served, questions: Any, paths: Any, field: str
) -> None:
    with MemoryClient(server.address) as client, pytest.raises(InvalidArgument) as caught:
        client.compare("b", questions, paths=paths)
    assert caught.value.field_violations[0].field == field


async def test_the_command_shows_a_table_and_writes_results_and_report(
    server: Served, tmp_path: Path
) -> None:
    file, out = tmp_path / "q.jsonl", tmp_path / "out"
    file.write_text(LINES)
    run = await memsvc(
        server, "compare", "b", "--questions", str(file), "--paths", ",".join(PATHS),
        "--out", str(out),
    )  # fmt: skip
    assert run.returncode == exits.OK, run.stderr
    for part in ("Exact match", "p50 ms", "kept", *PATHS):
        assert part in run.stdout
    assert "left" in run.stderr
    results = json.loads((out / "results.json").read_text())
    assert [one["path"] for one in results["paths"]] == PATHS
    assert results["command"].startswith("memsvc compare b --questions")
    page = (out / "report.html").read_text()
    assert "A \\u003ctitle\\u003e" in page
    again = await memsvc(server, "report", str(out / "results.json"), "-o", str(out / "2.html"))
    assert again.returncode == exits.OK, again.stderr
    assert (out / "2.html").read_text() == page


async def test_json_from_stdin_is_one_envelope_with_all_raw_answers(server: Served) -> None:
    run = await memsvc(
        server, "compare", "b", "--questions", "-", "--paths", "msa", "--json", stdin=LINES
    )
    assert run.returncode == exits.OK, run.stdout
    (line,) = run.stdout.splitlines()
    (path,) = json.loads(line)["data"]["paths"]
    assert [one["id"] for one in path["questions"]] == ["whale", "2", "3"]
    assert run.stderr == ""


def _heed_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def test_an_interrupted_comparison_writes_what_it_has(server: Served, tmp_path: Path) -> None:
    file, out = tmp_path / "many", tmp_path / "out"
    file.write_text("".join(f"Where lives whale {n}?\n" for n in range(3000)))
    command = ["compare", "b", "--questions", str(file), "--paths", "msa,files", "--out", str(out)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "memsvc_client.cli", *command,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_heed_interrupts,
        env={**os.environ, **environment(), "MEMSVC_SERVER": server.address},
    )  # fmt: skip
    assert process.stderr is not None
    while b"asking" not in (line := await process.stderr.readline()):
        assert line, "it ended before anything was asked"
    process.send_signal(signal.SIGINT)
    shown, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == exits.INTERRUPTED
    assert b"interrupted" in shown
    results = json.loads((out / "results.json").read_text())
    assert 0 < sum(len(path["questions"]) for path in results["paths"]) < 6000
    assert "interrupted" in results["warnings"][0]
    assert "interrupted" in (out / "report.html").read_text()


async def test_refusals_end_the_command_with_their_codes(server: Served, tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(LINES)
    ask = ("compare", "b", "--questions", str(file))
    assert (await memsvc(server, *ask, "--paths", "grep")).returncode == exits.USAGE
    missing = await memsvc(server, "compare", "none", "--questions", str(file), "--paths", "msa")
    assert missing.returncode == exits.NOT_FOUND
    file.write_text('plain\n{"question": 1}\n')
    bad = await memsvc(server, *ask)
    assert bad.returncode == exits.USAGE
    assert f"{file}:2: needs a " in bad.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n{broken\n", ":2: not JSON"),
        ('{"answers": ["a"]}', ':1: needs a "question"'),
        ('{"question": "q", "answers": [1]}', ':1: "answers" is no list of strings'),
        ('{"question": "q", "gold": "x"}', ":1: unknown field 'gold'; known: answers, evidence"),
        ('{"question": "q", "id": "a"}\n\n{"question": "r", "id": "a"}', ":3: the id 'a' stands"),
        (" \n", ": holds no question"),
        ("caf\udce9\n", ":1: not UTF-8 text"),
    ],
)
def test_a_malformed_line_names_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SourceError) as caught:
        read_questions(str(file))
    assert said in str(caught.value)


def test_lines_tell_unanswerable_from_unknown(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text("\ufeff" + LINES)
    whale, none, free = read_questions(str(file))
    assert (whale.answers, whale.evidence) == (("The blue whale lives in the ocean.",), ("d1",))
    assert (none.answers, free.answers) == ((), None)
