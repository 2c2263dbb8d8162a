"""The judge: what it is sent, what is kept, and what happens when it does not answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from memsvc.bench.judge import VERDICTS, Judge, JudgeError, judge_results, score_of
from memsvc.bench.results import PathResult, Results, summarise
from tests.test_bench_results import question, results


@dataclass
class Endpoint:
    """A chat endpoint on loopback: what it says, and what it was asked."""

    replies: list[str | int]
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, body: dict[str, Any], key: str | None) -> str | int:
        self.asked.append(body)
        self.keys.append(key)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    told = Endpoint(['{"score": 4, "reason": "almost"}'])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            said = told.answer(body, self.headers["authorization"])
            if self.path != "/v1/chat/completions" or isinstance(said, int):
                self.send_error(said if isinstance(said, int) else 404)
                return
            reply = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


def judge(endpoint: Endpoint, key: str | None = None) -> Judge:
    return Judge(endpoint.url, "grader", key, timeout_seconds=10, pause_seconds=0.01)


def two_paths() -> Results:
    def path(name: str) -> PathResult:
        return summarise(
            name,
            [
                question(0),
                question(1, em=0.0),  # abstains, though there is an answer
                question(2, em=1.0, answers=[], answer="", found=False),
                question(3, em=None, f1=None, answers=[]),
            ],
        )

    return replace(results(), paths=[path("msa"), path("rag")])


def quiet(done: int, total: int) -> None:
    pass


def test_each_answer_is_judged_and_the_raw_verdicts_are_kept(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    found = judge_results(two_paths(), judge(endpoint, "secret"), tmp_path, quiet)
    scores = [one.scores.get("judge") for one in found.paths[0].questions]
    assert scores == [4.0, 0.0, 5.0, None]
    assert found.paths[0].metrics["judge"].mean == 3.0
    assert "judge" in {pair.metric for pair in found.pairs}
    assert endpoint.keys == ["Bearer secret"] * 2
    (sent,) = endpoint.asked[0]["messages"]
    assert endpoint.asked[0]["model"] == "grader"
    assert "Who?" in sent["content"]
    assert "Odile" in sent["content"]
    kept = [json.loads(line) for line in (tmp_path / VERDICTS).read_text().splitlines()]
    assert (kept[0]["prompt"], kept[0]["reply"]) == (sent["content"], endpoint.replies[0])
    assert "secret" not in (tmp_path / VERDICTS).read_text() + json.dumps(found.to_dict())


def test_verdicts_that_are_kept_are_not_asked_for_again(endpoint: Endpoint, tmp_path: Path) -> None:
    first = judge_results(two_paths(), judge(endpoint), tmp_path, quiet)
    again = judge_results(two_paths(), judge(endpoint), tmp_path, quiet)
    assert len(endpoint.asked) == 2
    assert again == first


def test_a_judge_that_stumbles_is_asked_again(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.replies = [503, 429, "5"]
    found = judge_results(two_paths(), judge(endpoint), tmp_path, quiet)
    assert found.paths[0].questions[0].scores == {"judge": 5.0}


@pytest.mark.parametrize(("status", "attempts"), [(500, 3), (401, 1)])
def test_a_judge_that_does_not_answer_is_named_and_verdicts_are_kept(
    endpoint: Endpoint, tmp_path: Path, status: int, attempts: int
) -> None:
    endpoint.replies = ["3", status]
    with pytest.raises(JudgeError, match=f"{endpoint.url} does not answer: HTTP {status}"):
        judge_results(two_paths(), judge(endpoint), tmp_path, quiet)
    assert len(endpoint.asked) == 1 + attempts
    assert '"score": 3' in (tmp_path / VERDICTS).read_text()


def test_no_endpoint_at_all_is_named(tmp_path: Path) -> None:
    nowhere = Judge("http://127.0.0.1:9/v1", "grader", pause_seconds=0.01)
    with pytest.raises(JudgeError, match=r"127\.0\.0\.1:9/v1 does not answer"):
        judge_results(two_paths(), nowhere, tmp_path, quiet)
    with pytest.raises(JudgeError, match="neither http:// nor https://"):
        judge_results(two_paths(), Judge("file:///etc", "grader"), tmp_path, quiet)


def test_a_reply_without_a_score_is_counted_and_left_out(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.replies = ["I would rather not."]
    found = judge_results(two_paths(), judge(endpoint), tmp_path, quiet)
    assert found.paths[0].metrics["judge"].n == 2
    assert "held no score for 2 answers" in found.warnings[0]


@pytest.mark.parametrize(
    ("reply", "score"),
    [('```json\n{"score": 0}\n```', 0), (" 3 ", 3), ('{"score": 7}', None), ("4 of 5", None)],
)
def test_scores_are_read_from_json_or_alone(reply: str, score: int | None) -> None:
    assert score_of(reply) == score
