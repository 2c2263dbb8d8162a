"""The report's HTML: whole, self-contained, labelled, escaped, and small for many questions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from memsvc_client.cli import exits
from memsvc_client.report import ReportError, load_results, render
from memsvc_client.report.questions import payload, score

from tests.e2e_support import environment
from tests.report_support import EVIL, PATHS, Elements, interval, made_path, results


@pytest.fixture(scope="module")
def page() -> Elements:
    return Elements.of(render(results()))


def words(page: Elements, tag: str) -> str:
    """All text directly in elements of a name."""
    return "\n".join(text for name, text in page.texts if name == tag)


def test_every_element_is_closed_and_every_id_is_there_once(page: Elements) -> None:
    assert page.faults == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {one["href"].removeprefix("#") for one in page.named("a")}
    assert targets <= set(ids)
    assert len(targets) == 8


def test_nothing_is_loaded_from_anywhere(page: Elements) -> None:
    for tag, attributes in page.tags:
        assert "src" not in attributes, tag
        if "href" in attributes:
            assert attributes["href"].startswith(("#", "data:"))
    assert "url(" not in words(page, "style")
    assert "@import" not in words(page, "style")
    assert "innerHTML" not in words(page, "script")


def test_every_plot_has_a_title_labels_with_units_and_a_legend_for_several_series() -> None:
    page = render(results())
    plots = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(plots) == 6 + 2 + 3 + 1  # measures, curves, costs, grid
    for plot in plots:
        assert re.match(r"<svg[^>]*><title>[^<]+</title>", plot)
        assert plot.count('class="axis-label"') == 2
        if "<polyline" in plot:
            assert plot.count('class="legend"') == len(PATHS)
    for unit in ("ms, log scale", "tokens, mean", "bytes per token", "share, 0 to 1"):
        assert unit in page


def test_the_headline_marks_the_best_and_what_is_surely_worse() -> None:
    page = render(results())
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", page.split('id="quality"')[0], re.S)
    assert "★ 0.620" in rows[0]  # msa's exact match
    assert sum("★ 0." in row.split("</td>")[0] for row in rows) == 1
    assert 'title="p &lt; 0.001 against msa"' in rows[3]
    assert "▼" in rows[3]
    assert "▼" not in rows[1]  # p = 0.2


def test_skipped_paths_warnings_command_and_machine_are_told(page: Elements) -> None:
    cells = words(page, "td") + words(page, "th")
    for part in ("rag+rerank", "no reranker given", "Some CPU", "bundled MiniLM"):
        assert part in cells
    assert "3 of 40 evidence ids" in words(page, "li")
    assert "memsvc compare notes" in words(page, "pre")


def test_what_users_wrote_is_text_wherever_it_stands() -> None:
    body = render(results(text=EVIL))
    page = Elements.of(body)
    assert page.faults == []
    assert page.named("img") == []
    assert len(page.named("script")) == 2  # the data, and ours
    assert EVIL not in body
    data = json.loads(body.split('id="data">')[1].split("</script>")[0])
    assert data["rows"][0]["q"].startswith(EVIL)


def test_two_thousand_questions_on_eight_paths_stay_below_five_megabytes() -> None:
    eight = (*PATHS, "rag+rerank", "full-context")
    long = results(2000, text="A long word " * 30, paths=eight)
    body = render(long)
    assert len(body.encode()) < 5_000_000
    data = json.loads(body.split('id="data">')[1].split("</script>")[0])
    assert len(data["rows"]) == 2000
    assert all(len(row["r"]) == 8 for row in data["rows"])


def test_small_results_are_carried_whole() -> None:
    body, cut = payload(results(5))
    first = json.loads(body)["rows"][0]
    assert not cut
    assert len(first["r"][0][8][0][0]) == 16  # all documents of the first hop


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"f1": 0.4, "em": 0.0}, 0.4),
        ({"em": 1.0}, 1.0),
        ({"f1": None, "evidence": ["a", "b"], "hits": ["x", "a"]}, 0.5),
        ({"evidence": ["a"], "hits": [*"vwxyz", "a"]}, 0.0),
        ({"f1": 1.0, "error": "it broke"}, None),
        ({}, None),
    ],
)
def test_questions_are_decided_by_f1_else_by_evidence(
    asked: dict[str, Any], expected: float | None
) -> None:
    assert score(asked) == expected


def test_a_report_of_little_is_still_a_report() -> None:
    bare = {"schema": 1, "paths": [{"path": "mine", "metrics": {"em": interval(0.5, 3)}}]}
    for body in (
        {"schema": 1, "paths": []},
        bare,
        {"schema": 1, "paths": [made_path("x", 0.5, 0)]},
    ):
        assert Elements.of(render(body)).faults == []
    alone = results(3, paths=("msa",))
    alone["paths"][0]["questions"][0] |= {"error": "it broke", "em": None, "f1": None}
    assert Elements.of(render(alone)).faults == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", 'an object with "schema": 1'),
        ('{"schema": 2}', "schema 2 is not known"),
        ('{\n"schema": 1,\n oops}', ":3: not JSON"),
        ('{"schema": 1, "paths": 3}', "'paths' is no list"),
        ('{"schema": 1, "paths": [{}]}', "paths[0] has no name"),
    ],
)
def test_what_is_no_result_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(text)
    with pytest.raises(ReportError) as caught:
        load_results(file)
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)


def test_the_command_makes_the_page_beside_the_results(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(results(3)))

    def memsvc(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "memsvc_client.cli", "report", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(),
        )

    made = memsvc(str(tmp_path / "results.json"), "--json")
    assert made.returncode == exits.OK, made.stderr
    told = json.loads(made.stdout)["data"]
    assert told["report"] == str(tmp_path / "report.html")
    assert told["bytes"] == (tmp_path / "report.html").stat().st_size
    missing = memsvc(str(tmp_path / "none.json"))
    assert missing.returncode == exits.USAGE
    assert "none.json" in missing.stderr
