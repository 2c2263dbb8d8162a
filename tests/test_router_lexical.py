"""Words in routing keys: their product is BM25's score, on every machine the same."""

from __future__ import annotations

import hashlib
import math
from collections import Counter

import torch
from memsvc_router.api import ROUTING, AskOptions, DocumentText
from memsvc_router.lexical import codes, frequencies, superpose

from tests.router_support import bank, default_model


def test_codes_are_the_same_everywhere() -> None:
    table = codes(50, 48)
    assert set(table.unique().tolist()) == {-1, 1}
    digest = hashlib.sha256(table.numpy().tobytes()).hexdigest()
    assert digest.startswith("a37dcacb2206")


def test_the_product_of_two_texts_is_close_to_their_bm25_score() -> None:
    generator = torch.Generator().manual_seed(3)
    table = codes(2000, 1152)
    documents = torch.randint(3, 2000, (40, 60), generator=generator)
    documents[:, :5] = torch.randint(3, 40, (40, 5), generator=generator)
    mask = torch.ones_like(documents, dtype=torch.bool)
    rows, tokens, weights = frequencies(documents, mask, torch.full((40,), 60.0))
    keys = superpose(table, rows, tokens, weights, 40)
    asked = documents[7, 10:16].unique()
    query = superpose(table, torch.zeros_like(asked), asked, torch.ones(len(asked)), 1)
    got = (query @ keys.T)[0]
    want = torch.tensor([bm25(row, asked.tolist()) for row in documents.tolist()])
    noise = math.sqrt(len(asked) * 60 * 1.5**2 / 1152)
    assert (got - want).abs().max() < 4.5 * noise
    assert int(got.argmax()) == 7


def bm25(document: list[int], asked: list[int]) -> float:
    """BM25 with idf 1, k1 1.2, b 0.75 over a usual length of 128."""
    times = Counter(document)
    norm = 1.2 * (0.25 + 0.75 * len(document) / 128)
    return sum(times[t] * 2.2 / (times[t] + norm) for t in asked if times[t])


def test_a_rare_word_finds_its_document_among_look_alikes() -> None:
    names = ["Qorvath", "Belzunce", "Tirrilim", "Oskvarn", "Ummelden", "Drazhik"]
    look_alikes = {
        name: DocumentText("Note", f"The valve in hall {name} was replaced on Monday by the crew.")
        for name in names
    }
    model, view = default_model(), bank(look_alikes)
    for name in names:
        found = model.recall(view, f"What happened in {name}?", AskOptions(max_hops=1))
        assert found.hits[0].document_id == name


def test_a_short_note_is_not_buried_by_long_documents() -> None:
    note = DocumentText("", "My dentist is Dr Okafor in Hill Street.")
    novel = " ".join(f"On day {n} the dentist walked down the street and sang." for n in range(400))
    found = default_model().recall(
        bank({"note": note, "novel": DocumentText("", novel)}),
        "Who is my dentist and in which street?",
        AskOptions(max_hops=1),
    )
    assert found.hits[0].document_id == "note"


def test_chunks_of_one_part_share_their_words() -> None:
    long = DocumentText("Numbers", " ".join(f"item {n} weighs {n * 7} grams." for n in range(30)))
    keys = default_model().encode([long])[0].tensors[ROUTING]
    assert len(keys) > 1
    assert (keys[0, 1:] == keys[1, 1:]).all()
    assert (keys[0, 0] != keys[1, 0]).any()
