"""The report in a real Chromium: no complaint, no sideways scrolling, every plot labelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from memsvc_client.report import render

from tests.browser_support import BINARY, Browser, browser
from tests.report_support import EVIL, results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BINARY is None, reason="chromium is not installed (apt-get install chromium)"
    ),
]
_OPEN = "[...document.querySelectorAll('details')].forEach(one => { one.open = true; })"
_BARE = """[...document.querySelectorAll('svg')].filter(
  one => !one.querySelector('title') || one.querySelectorAll('.axis-label').length < 2).length"""
# Words of a plot that reach over its edge would be cut off.
_CUT_OFF = """[...document.querySelectorAll('svg')].flatMap(plot => {
  const box = plot.viewBox.baseVal;
  return [...plot.querySelectorAll('text')].filter(one => {
    const own = one.getBBox();
    return !one.hasAttribute('transform') && (own.x < 0 || own.x + own.width > box.width + 1
      || own.y + own.height > box.height + 1);
  }).map(one => one.textContent);
})"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_whole_at_every_width_and_in_every_light(
    chromium: Browser, tmp_path: Path, width: int, dark: bool
) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(results()))
    chromium.errors.clear()
    chromium.open(file, width, dark)
    chromium.evaluate(_OPEN)
    assert chromium.errors == []
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width
    assert chromium.evaluate("document.querySelectorAll('svg').length") == 12
    assert chromium.evaluate(_BARE) == 0
    assert chromium.evaluate(_CUT_OFF) == []
    ground = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


def test_the_list_of_questions_can_be_narrowed_and_opened(
    chromium: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(results(120)))
    chromium.open(file, 1280, False)
    listed = "document.querySelectorAll('#questions > details').length"
    assert chromium.evaluate(listed) == 50
    chromium.evaluate("document.getElementById('more').click()")
    assert chromium.evaluate(listed) == 100
    chromium.evaluate(
        "document.getElementById('which').value = 'A better';"
        "document.getElementById('which').dispatchEvent(new Event('change'))"
    )
    better = chromium.evaluate(listed)
    assert 0 < better < 120
    assert chromium.evaluate("document.querySelectorAll('.badge.win').length") == better
    chromium.evaluate(
        "document.getElementById('words').value = 'no such word';"
        "document.getElementById('words').dispatchEvent(new Event('input'))"
    )
    assert chromium.evaluate("document.getElementById('count').textContent").startswith("0 of 120")
    assert chromium.errors == []


def test_what_users_wrote_does_nothing(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(results(10, text=EVIL)))
    chromium.open(file, 390, False)
    chromium.evaluate(_OPEN)
    assert chromium.evaluate("document.title") == f"{EVIL}Notes of the house"
    assert chromium.evaluate("document.querySelectorAll('img').length") == 0
    assert chromium.evaluate("document.documentElement.scrollWidth") <= 390
    assert EVIL[:70] in chromium.evaluate("document.querySelector('blockquote cite').textContent")
