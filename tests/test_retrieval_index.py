"""The dense index follows its bank, outlives the process, and is never believed when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memsvc.retrieval import DimensionMismatch, EmbedderError, IndexKind
from memsvc.retrieval.dense import DenseIndex
from memsvc.retrieval.vectorfile import VectorFile
from tests.engine_support import add
from tests.retrieval_support import BANK, WordEmbedder, filled, found, numbered, update

TEXTS = ("Tea grows in green hills.", "Whales swim in the sea.", "Rome is the capital of Italy.")


def on_disk(path: Path, embedder: WordEmbedder) -> DenseIndex:
    """An index as a process that has just started would have it."""
    file = VectorFile(path / "it.vectors", embedder.digest, embedder.dimension)
    return DenseIndex(embedder, file)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
async def test_adds_updates_and_deletes_are_followed_at_once(
    tmp_path: Path, kind: IndexKind
) -> None:
    embedder = WordEmbedder()
    index = DenseIndex(embedder)
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        assert (await found(engine, index, "green tea", kind=kind))[0] == "d0"
        await add(engine, BANK, *numbered("Green tea, green tea!", first=3))
        assert (await found(engine, index, "green tea", kind=kind))[:2] == ["d3", "d0"]
        await engine.delete_document(BANK, "d3")
        assert set(await found(engine, index, "green tea", 9, kind)) == {"d0", "d1", "d2"}
        await update(engine, "d0", "Coffee is roasted.")
        assert (await found(engine, index, "roasted coffee", kind=kind))[0] == "d0"
        first, later = embedder.embedded[: len(TEXTS)], embedder.embedded[len(TEXTS) :]
        assert sorted(first) == sorted(TEXTS)  # a bank takes new documents in as they are encoded
        assert later == ["Green tea, green tea!", "Coffee is roasted."]


async def test_an_unchanged_bank_is_not_embedded_again_after_a_restart(tmp_path: Path) -> None:
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        await found(engine, on_disk(tmp_path, WordEmbedder()), "tea")
        await add(engine, BANK, *numbered("Paris is in France.", first=3))
        later = WordEmbedder()
        assert (await found(engine, on_disk(tmp_path, later), "green tea"))[0] == "d0"
        assert later.embedded == ["Paris is in France."]
        last = WordEmbedder()
        assert (await found(engine, on_disk(tmp_path, last), "Paris, France"))[0] == "d3"
        assert last.embedded == []


async def test_what_was_deleted_while_nobody_looked_is_not_found(tmp_path: Path) -> None:
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        await found(engine, on_disk(tmp_path, WordEmbedder()), "tea")
        await engine.delete_document(BANK, "d0")
        left = await found(engine, on_disk(tmp_path, WordEmbedder()), "tea", 9)
        assert set(left) == {"d1", "d2"}


async def test_a_damaged_file_is_made_anew_wherever_the_damage_is(tmp_path: Path) -> None:
    path = tmp_path / "it.vectors"
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        await found(engine, on_disk(tmp_path, WordEmbedder()), "tea")
        whole = path.read_bytes()
        for at in (0, 8, 14, 40, 61, 90, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            embedder = WordEmbedder()
            assert (await found(engine, on_disk(tmp_path, embedder), "green tea"))[0] == "d0"
            assert sorted(embedder.embedded) == sorted(TEXTS), f"byte {at} was believed"
            assert path.read_bytes() == whole


async def test_a_frame_cut_short_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "it.vectors"
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        await found(engine, on_disk(tmp_path, WordEmbedder()), "tea")
        before = len(path.read_bytes())
        await add(engine, BANK, *numbered("Paris is in France.", first=3))
        await found(engine, on_disk(tmp_path, WordEmbedder()), "tea")
        whole = path.read_bytes()
        for end in (before + 1, before + 9, len(whole) - 1):
            path.write_bytes(whole[:end])
            embedder = WordEmbedder()
            assert (await found(engine, on_disk(tmp_path, embedder), "Paris France"))[0] == "d3"
            assert embedder.embedded == ["Paris is in France."]
            assert path.read_bytes() == whole


async def test_another_embedder_makes_its_own_vectors(tmp_path: Path) -> None:
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        await found(engine, on_disk(tmp_path, WordEmbedder("old")), "tea")
        embedder = WordEmbedder("new", dimension=32)
        assert (await found(engine, on_disk(tmp_path, embedder), "green tea"))[0] == "d0"
        assert sorted(embedder.embedded) == sorted(TEXTS)


async def test_another_width_of_the_same_embedder_is_refused(tmp_path: Path) -> None:
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        await found(engine, on_disk(tmp_path, WordEmbedder()), "tea")
        kept = (tmp_path / "it.vectors").read_bytes()
        with pytest.raises(DimensionMismatch, match="64 numbers, the embedder makes 32"):
            on_disk(tmp_path, WordEmbedder(dimension=32))
        assert (tmp_path / "it.vectors").read_bytes() == kept


async def test_an_embedder_that_lies_about_its_width_is_refused(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    index = DenseIndex(embedder)
    embedder.dimension = 12
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        with pytest.raises(EmbedderError, match=r"shape \(3, 12\).*64 numbers"):
            await found(engine, index, "tea")
        embedder.dimension = 64
        assert (await found(engine, index, "green tea"))[0] == "d0"


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
async def test_many_dead_vectors_are_dropped_from_memory_and_disk(
    tmp_path: Path, kind: IndexKind
) -> None:
    embedder = WordEmbedder(dimension=4096)
    index = on_disk(tmp_path, embedder)
    async with filled(tmp_path, *numbered(*(f"Cargo number{n}." for n in range(600)))) as engine:
        assert len(await found(engine, index, "number7", 9, kind)) == 9
        size, memory = (tmp_path / "it.vectors").stat().st_size, index.bytes(kind)
        for n in range(500):
            await engine.delete_document(BANK, f"d{n}")
        left = await found(engine, index, "number550", 200, kind)
        assert left[0] == "d550"
        assert sorted(left) == [f"d{n}" for n in range(500, 600)]
        assert (tmp_path / "it.vectors").stat().st_size < size / 4
        assert index.bytes(kind) < memory / 4
        assert await found(engine, on_disk(tmp_path, embedder), "number599", 1) == ["d599"]
        assert len(embedder.embedded) == 600


async def test_an_empty_bank_finds_nothing(tmp_path: Path) -> None:
    async with filled(tmp_path) as engine:
        for kind in ("flat", "ivf", "hnsw"):
            assert await found(engine, DenseIndex(WordEmbedder()), "tea", kind=kind) == []


async def test_a_question_is_answered_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("not a folder")
    index = on_disk(tmp_path / "folder", WordEmbedder())
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        assert (await found(engine, index, "green tea"))[0] == "d0"
    assert (tmp_path / "folder").read_text() == "not a folder"


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "it.vectors", "words", 2)
    keys, vectors = np.ones((1, 3), np.int64), np.ones((1, 2), np.float32)
    file.append(keys, vectors)
    whole = file.path.read_bytes()
    with pytest.raises(AttributeError):
        file.append(keys, None)  # type: ignore[arg-type]
    assert file.path.read_bytes() == whole
    assert file.load()[0].tolist() == [[1, 1, 1]]
