"""`memsvc proxy` between a client, a real memsvc server and an API that keeps what it was asked."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from memsvc_client import MemoryClient
from memsvc_client.cli import exits
from memsvc_client.cli.app import build
from typer.testing import CliRunner

from tests.e2e_support import QUESTION, Served, environment, serving
from tests.mcp_support import NOBODY
from tests.proxy_support import Upstream, command, proxied, upstream

BANK = "talks"
BOAT = "My sister Wilhelmina keeps her sailing boat in the harbour of Flensburg."
_numbers = count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("proxy") / "data") as running:
        with MemoryClient(running.target) as client:
            client.wait_serving()
        yield running


@pytest.fixture(scope="module")
def api() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


@pytest.fixture(scope="module")
def url(served: Served, api: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("proxy") / "log"
    # Room for two memories at most, which what is said already must not take.
    options = ("--bank", BANK, "--wait", "60", "--context-tokens", "40")
    with proxied(api.url, served.target, log, *options) as running:
        yield running.url
    assert "Traceback" not in running.said
    assert "WARNING" not in running.said


@pytest.fixture
def memory(served: Served) -> Iterator[MemoryClient]:
    with MemoryClient(served.target, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def fresh(api: Upstream) -> None:
    api.answer, api.status, api.broken = "Noted.", 200, False
    api.bodies.clear()
    api.headers.clear()


@pytest.fixture
def agent() -> str:
    """An agent that has said nothing yet."""
    return f"agent-{next(_numbers)}"


def said(*texts: str, **more: Any) -> dict[str, Any]:
    """A request: what the user and the assistant said, in turns."""
    roles = ("user", "assistant")
    turns = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return {"model": "m", "messages": turns, **more}


def post(url: str, body: dict[str, Any], agent: str, session: str, **more: str) -> httpx.Response:
    named = {"x-memsvc-agent": agent, "x-memsvc-session": session}
    return httpx.post(f"{url}/chat/completions", json=body, headers={**named, **more}, timeout=60)


def turns(memory: MemoryClient, session: str) -> list[tuple[str, str]]:
    return [(one.role, one.content) for one in memory.list_turns(BANK, session)]


def settle(memory: MemoryClient) -> None:
    """Wait until questions find all that was said."""
    while any(one.state == "PENDING" for one in memory.list_documents(BANK)):
        time.sleep(0.05)


def test_what_was_said_in_one_session_helps_in_the_next(
    url: str, api: Upstream, memory: MemoryClient, agent: str
) -> None:
    asked = said(BOAT, temperature=0.25, seed=2**60, extra={"unknown": [1, None, "é"]})
    answer = post(url, asked, agent, f"{agent}-1", authorization="Bearer caller")
    assert answer.json()["choices"][0]["message"]["content"] == "Noted."
    assert answer.json()["odd"] == [1.5, None]
    assert api.bodies[0] == asked  # there was nothing to be reminded of
    assert api.headers[0]["authorization"] == "Bearer caller"
    assert not [name for name in api.headers[0] if name.startswith("x-memsvc")]
    settle(memory)

    rules = {"role": "system", "content": "Be brief."}
    asked["messages"] = [rules, {"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    post(url, asked, agent, f"{agent}-2")
    first, *rest = api.bodies[-1].pop("messages")
    assert rest == asked.pop("messages")
    assert api.bodies[-1] == asked
    assert first["role"] == "system"
    assert BOAT in first["content"]
    assert "memsvc" in first["content"]
    assert turns(memory, f"{agent}-2") == [("user", QUESTION), ("assistant", "Noted.")]


def test_what_the_request_carries_is_not_repeated(
    url: str, api: Upstream, memory: MemoryClient, agent: str
) -> None:
    post(url, said("Wilhelmina sails to Denmark in May."), agent, f"{agent}-1")
    talk = [BOAT]
    for more in ("Her sailing boat is called Wilhelmina, too.", "She keeps it in the harbour."):
        post(url, said(*talk), agent, f"{agent}-1")
        talk += ["Noted.", more]
    settle(memory)
    talk[-1] = QUESTION
    post(url, said(*talk), agent, f"{agent}-1")
    assert "Denmark" in api.system()
    assert not [text for text in talk if text in api.system()]
    post(url, said(*talk), agent, f"{agent}-2")
    assert not [text for text in talk if text in api.system()]


def test_agents_do_not_meet(url: str, api: Upstream, memory: MemoryClient, agent: str) -> None:
    post(url, said(BOAT), agent, f"{agent}-1")
    settle(memory)
    post(url, said(QUESTION), f"{agent}-other", f"{agent}-2")
    assert "Flensburg" not in api.system()


def test_a_stream_comes_through_and_is_kept(
    url: str, api: Upstream, memory: MemoryClient, agent: str
) -> None:
    api.answer = "Flensburg,\n that is — as you said — her harbour."
    answer = post(url, said("Where?", stream=True), agent, agent)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "".join(api.events())
    assert turns(memory, agent) == [("user", "Where?"), ("assistant", api.answer)]


def test_an_answer_that_broke_off_is_not_kept(
    url: str, api: Upstream, memory: MemoryClient, agent: str
) -> None:
    api.broken = True
    answer = post(url, said("Where?", stream=True), agent, agent)
    assert answer.text == "".join(api.events())
    assert turns(memory, agent) == [("user", "Where?")]


def test_an_error_of_upstream_comes_through_and_a_retry_doubles_nothing(
    url: str, api: Upstream, memory: MemoryClient, agent: str
) -> None:
    api.status = 429
    answer = post(url, said("Where?"), agent, agent)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json() == {"error": {"message": "too many", "type": "limit"}}
    api.status = 200
    for _ in range(2):
        post(url, said("Where?"), agent, agent)
    assert turns(memory, agent) == [("user", "Where?"), ("assistant", "Noted.")]
    post(url, said("Where?", "Noted.", "Where?"), agent, agent)  # this was said once more
    assert len(turns(memory, agent)) == 4


def test_an_idempotency_key_is_answered_once(
    url: str, api: Upstream, memory: MemoryClient, agent: str
) -> None:
    for key, api.answer in (("a", "In Kiel."), ("a", "In Flensburg."), ("b", "In Flensburg.")):
        post(url, said("Where?"), agent, agent, **{"idempotency-key": key})
    once, again = ("assistant", "In Kiel."), ("assistant", "In Flensburg.")
    assert turns(memory, agent) == [("user", "Where?"), once, ("user", "Where?"), again]


def test_tools_are_called_without_saying_it_twice(
    url: str, api: Upstream, memory: MemoryClient, agent: str
) -> None:
    body = said("Where?")
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "Flensburg"},
    ]
    post(url, said("Where?"), agent, agent)
    post(url, body, agent, agent)
    assert api.bodies[-1]["messages"][-2:] == body["messages"][-2:]
    assert [text for role, text in turns(memory, agent) if role == "user"] == ["Where?"]


def test_the_user_field_and_the_run_choose_the_session(url: str, memory: MemoryClient) -> None:
    before = {one.id for one in memory.list_sessions(BANK)}
    for user in ("ann", "ann", "ben@example.org", "ben@example.org", None, None):
        body = said("Hello.", user=user) if user else said("Hello.")
        httpx.post(f"{url}/chat/completions", json=body, timeout=60)
    made = {one.id for one in memory.list_sessions(BANK)} - before
    assert len(made) == 3
    assert "ann" in made


def test_other_paths_and_other_bodies_pass(url: str, api: Upstream) -> None:
    models = httpx.get(f"{url}/models?limit=3&after=a%2Fb", headers={"authorization": "Bearer c"})
    assert models.json() == {"asked": "limit=3&after=a%2Fb"}
    assert models.headers["x-kind"] == "models"
    assert api.headers[0]["authorization"] == "Bearer c"
    assert httpx.get(f"{url}/nothing").status_code == 404
    odd = {"messages": "none", "model": "m"}
    assert httpx.post(f"{url}/chat/completions", json=odd).status_code == 200
    half = b'{"messages": [{"role": "user", "content": "\\ud83d"}], "user": 7}'
    assert httpx.post(f"{url}/chat/completions", content=half).status_code == 200
    assert api.bodies == [odd, json.loads(half)]


@pytest.mark.parametrize("header", ["host", "origin"])
def test_web_pages_of_elsewhere_are_kept_out(url: str, api: Upstream, header: str) -> None:
    value = {"host": "evil.example", "origin": "http://evil.example"}[header]
    assert httpx.get(f"{url}/models", headers={header: value}).status_code == 403
    assert api.headers == []


def test_without_memsvc_requests_go_on_without_memory(api: Upstream, tmp_path: Path) -> None:
    env = {"THE_KEY": "of-the-proxy"}
    options = ("--bank", BANK, "--upstream-key-env", "THE_KEY")
    with proxied(api.url, NOBODY, tmp_path / "log", *options, env=env) as running:
        answer = post(running.url, said(BOAT), "a", "s", authorization="Bearer caller")
    assert answer.json()["choices"][0]["message"]["content"] == "Noted."
    assert api.bodies == [said(BOAT)]
    assert api.headers[0]["authorization"] == "Bearer of-the-proxy"
    assert "no memory: UNAVAILABLE" in running.said
    assert "Flensburg" not in running.said
    assert "of-the-proxy" not in running.said


def test_where_memory_is_required_it_is_waited_for_by_the_client(
    api: Upstream, tmp_path: Path
) -> None:
    log, options = tmp_path / "log", ("--bank", BANK, "--require-memory", "--wait", "0.2")
    with proxied(api.url, NOBODY, log, *options) as running:
        answer = post(running.url, said(BOAT), "a", "s")
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "memory_unavailable"
    assert api.bodies == []


def test_an_upstream_that_is_not_there(served: Served, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with proxied(f"http://{NOBODY}/v1", served.target, log, "--bank", BANK) as running:
        answer = post(running.url, said(BOAT), "nobody", "nobody")
    assert answer.status_code == 502
    assert answer.json()["error"]["type"] == "upstream_unreachable"
    assert "Flensburg" not in running.said


def test_without_the_packages_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('no starlette here')\n")
    path = f"{tmp_path}:{environment()['PYTHONPATH']}"
    run = subprocess.run(
        command("http://127.0.0.1:1/v1", NOBODY, "--bank", BANK),
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment(), "PYTHONPATH": path},
    )
    assert run.returncode == exits.FAULT
    assert "pip install 'memsvc[proxy]'" in run.stderr


@pytest.mark.parametrize(
    "wrong",
    [["--upstream", "nonsense"], ["--bank", "no/bank"], ["--upstream-key-env", "NOT_THERE"]],
)
def test_wrong_options_are_told(wrong: list[str]) -> None:
    _, _, _, *usual = command("http://127.0.0.1:1/v1", NOBODY, "--bank", BANK)
    run = CliRunner().invoke(build(with_server=False), [*usual, *wrong])
    assert run.exit_code == exits.USAGE
    assert wrong[1] in run.stderr
