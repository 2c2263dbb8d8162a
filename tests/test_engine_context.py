"""Prompt blocks: never over budget, verbatim, ranked, cut where a sentence or chunk ends."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from memsvc_router.api import DocumentText, Hit
from memsvc_storage import NewDocument

from memsvc.engine.context import Packer
from tests.engine_support import BagModel, add, running

_TEXT = st.text(alphabet="ab .!?\n,é漢", min_size=1, max_size=300)


@settings(max_examples=200, deadline=None)
@given(
    documents=st.lists(st.tuples(_TEXT, _TEXT, st.integers(0, 299)), max_size=6),
    budget=st.integers(1, 400),
)
def test_no_context_exceeds_its_budget(documents: list[tuple[str, str, int]], budget: int) -> None:
    count = BagModel().count_tokens
    packer = Packer(count, budget)
    for n, (title, text, at) in enumerate(documents):
        start = min(at, len(text) - 1)
        end = min(len(text), start + 40)
        hit = Hit(f"d{n}", 1.0, 0, start, end, 0)
        ends = sorted({*range(40, len(text), 40), len(text)})
        if not packer.add(hit, DocumentText(title, text), ends):
            break
    text, citations, tokens = packer.packed()
    assert tokens == count(text) <= budget
    for number, cited in enumerate(citations, 1):
        title, original, _ = documents[int(cited.document_id[1:])]
        assert original[cited.start : cited.end] == cited.quote
        assert f"[{number}] {title}\n{cited.quote}" in text


async def test_whole_documents_in_ranked_order(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(
            engine,
            "b",
            NewDocument("Green tea grows in hills.", title="Tea", document_id="1"),
            NewDocument("Whales swim.", title="Whales", document_id="2"),
            NewDocument("Tea is an old drink of many.", title="Drinks", document_id="3"),
        )
        context = await engine.build_context("b", "green tea", 100)
        assert context.text == (
            "[1] Tea\nGreen tea grows in hills.\n\n[2] Drinks\nTea is an old drink of many."
        )
        assert [c.document_id for c in context.citations] == ["1", "3"]
        assert context.tokens <= 100


async def test_a_long_document_is_cut_around_what_was_found(tmp_path: Path) -> None:
    filler = [f"Page {n} tells of nothing at all." for n in range(200)]
    filler[150] = "The treasure lies under the oak."
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", NewDocument(" ".join(filler), title="Diary"))
        context = await engine.build_context("b", "treasure under oak", 120)
        assert "The treasure lies under the oak." in context.text
        assert context.tokens <= 120
        assert context.tokens > 60


async def test_nothing_found_is_an_empty_context(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        context = await engine.build_context("b", "anything", 50)
        assert (context.text, context.citations, context.tokens) == ("", (), 0)
