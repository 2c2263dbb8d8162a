"""The examples, run as their readers run them: processes of their own against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e_support import ROOT, environment, serving

pytestmark = pytest.mark.slow


def ran(name: str, target: str, *more: str, said: str = "", **settings: str) -> str:
    """What an example printed."""
    command = [sys.executable, "-m", f"examples.{name}", "--server", target, *more]
    outside = {k: v for k, v in environment().items() if not k.startswith("OPENAI_")}
    done = subprocess.run(
        command, input=said, capture_output=True, text=True, cwd=ROOT, env=outside | settings
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_chat_agent_remembers_after_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as served:
        ran("chat", served.target, "--session", "monday", said="My sister Ana lives in Lisbon.\n")
    with serving(data) as served:
        told = ran("chat", served.target, "--session", "tuesday", said="Where does Ana live?\n")
        assert "Lisbon" in told
        assert "user, " in told  # who said it, and when
        with language_model() as (address, prompts):
            told = ran("chat", served.target, said="Where is Ana?\n", OPENAI_BASE_URL=address)
    assert "You told me about Lisbon." in told
    assert "My sister Ana lives in Lisbon." in prompts[0]


def test_a_code_base_is_asked_where_things_are_and_follows_its_changes(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "signing.py").write_text('def sign(body):\n    """Sign page tokens."""\n')
    (code / "other.py").write_text('def mix(paint):\n    """Mix colours of paint."""\n')
    for command in (["git", "init", "-q"], ["git", "add", "."]):
        subprocess.run(command, cwd=code, check=True)
    with serving(tmp_path / "data") as served:
        assert "2 new" in ran("codebase", served.target, "index", str(code))
        found = ran("codebase", served.target, "ask", "Where are page tokens signed?")
        assert found.splitlines()[1].strip().startswith("signing.py:1")
        (code / "signing.py").write_text('def sign(body):\n    """Sign letters by hand."""\n')
        (code / "other.py").unlink()
        told = ran("codebase", served.target, "index", str(code))
        assert "0 new, 1 changed, 1 gone" in told
        found = ran("codebase", served.target, "ask", "Who mixes colours of paint?")
        assert "other.py" not in found


def test_this_repository_is_asked_where_page_tokens_are_signed(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        ran("codebase", served.target, "index", str(ROOT))
        found = ran("codebase", served.target, "ask", "Where are page tokens signed?")
    assert "memsvc/pagination.py" in found


def test_meetings_answer_as_of_a_day(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        first = ran("meetings", served.target)
        again = ran("meetings", served.target)
    assert first == again  # nothing is doubled
    answers = first.splitlines()
    assert "May 12" in after(answers, "beta of Heron start?  (as of 01 April")
    assert "June 2" in after(answers, "beta of Heron start?  (as of 01 July")
    assert "18 dollars" in after(answers, "team plan cost?  (as of 01 April")
    assert "24 dollars" in after(answers, "team plan cost?  (as of 01 July")
    assert "Marcus, 4 May 2026" in first


def test_the_altered_sentence_of_a_novel_is_found_and_put_right(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        told = ran("book", served.target)
    before, _, later = told.partition("put right")
    assert "Mercedes" in before
    assert "red scarf that Mercedes had knitted in Winnipeg." in before
    assert "red scarf that Mercedes" not in later
    assert "revision 1 held it: True" in later


def after(lines: list[str], question: str) -> str:
    """The answer and source that follow a question."""
    at = next(number for number, line in enumerate(lines) if question in line)
    return " ".join(lines[at + 1 : at + 3])


@contextmanager
def language_model() -> Iterator[tuple[str, list[str]]]:
    """An OpenAI-compatible endpoint that answers one thing, and the system prompts it was given."""
    prompts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            prompts.append(body["messages"][0]["content"])
            answer = {"choices": [{"message": {"content": "You told me about Lisbon."}}]}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: ARG002
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", prompts
    finally:
        server.shutdown()
        server.server_close()
