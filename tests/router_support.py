"""Small banks in RAM for tests of the default model."""

from __future__ import annotations

from functools import cache

from memsvc_router import ResidentMemory, SmallMemoryModel, load_default_model
from memsvc_router.api import DocumentText

TOWNS = {
    "paris": DocumentText("Paris", "Paris is the capital of France. It lies on the Seine."),
    "rome": DocumentText("Rome", "Rome is the capital of Italy and lies on the Tiber."),
    "eiffel": DocumentText(
        "Eiffel Tower",
        "The Eiffel Tower is a lattice tower in Paris. It was completed in 1889 by Gustave Eiffel.",
    ),
    "marie": DocumentText(
        "Marie Curie",
        "Marie Curie was born in Warsaw in 1867. She received the Nobel Prize in Physics in 1903.",
    ),
    "warsaw": DocumentText("Warsaw", "Warsaw lies on the Vistula and is the capital of Poland."),
    "bread": DocumentText("Bread", "Bread is baked from flour, water, salt and yeast. " * 60),
    "whale": DocumentText("Blue whale", "The blue whale is the largest animal known to exist."),
    "python": DocumentText(
        "Python", "Python was created by Guido van Rossum and first released in 1991."
    ),
}


@cache
def default_model() -> SmallMemoryModel:
    """The bundled model, loaded once per test process."""
    return load_default_model()


def bank(documents: dict[str, DocumentText]) -> ResidentMemory:
    """Documents encoded by the bundled model, held in RAM."""
    texts = list(documents.values())
    return ResidentMemory(list(documents), texts, default_model().encode(texts))
