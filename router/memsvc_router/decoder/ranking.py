"""From routes by layer to one ranking of documents. Knows no tensors of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from memsvc_router.api import LayerRoute, MemoryView, Routes


@dataclass(frozen=True)
class Found:
    """A document that was routed to: its score over all router layers, and the layer that scored
    it highest with the chunk that won there (-1: no layer did)."""

    handle: int
    score: float
    chunk: int
    layer: int


def ranked(routes: Mapping[int, Routes]) -> list[Found]:
    """All documents that any router layer chose, best first.

    The score is the mean over layers; a layer that did not choose a document counts its own lowest
    chosen score, which bounds what it would have given.
    """
    floors: dict[int, float] = {}
    given: dict[int, dict[int, tuple[float, int]]] = {}
    for layer, route in routes.items():
        rows = zip(route.documents[0], route.scores[0], route.chunks[0], strict=True)
        chosen = [(int(d), float(s), int(c)) for d, s, c in rows if d >= 0]
        floors[layer] = min((score for _, score, _ in chosen), default=0.0)
        for handle, score, chunk in chosen:
            given.setdefault(handle, {})[layer] = (score, chunk)
    found = []
    for handle, by_layer in given.items():
        score = float(np.mean([by_layer.get(layer, (floors[layer], 0))[0] for layer in floors]))
        best = max(by_layer, key=lambda layer: by_layer[layer][0])
        found.append(Found(handle, score, by_layer[best][1], best))
    return sorted(found, key=lambda one: (-one.score, one.handle))


def layer_routes(view: MemoryView, routes: Mapping[int, Routes]) -> tuple[LayerRoute, ...]:
    """The choice of each router layer, by document ids."""
    told = []
    for layer, route in sorted(routes.items()):
        kept = route.documents[0] >= 0
        names = tuple(view.document_id(int(h)) for h in route.documents[0][kept])
        told.append(LayerRoute(layer, names, tuple(float(s) for s in route.scores[0][kept])))
    return tuple(told)
