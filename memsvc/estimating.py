"""`memsvc bank estimate --model`: what text would cost with a checkpoint, without a server.

Knows how to load a model; encodes nothing, so no time is told.
"""

from __future__ import annotations

from dataclasses import asdict

from memsvc_client import BankEstimate
from memsvc_client import Identity as ToldIdentity


def estimate_offline(model: str, tokens: int, documents: int | None, k: int | None) -> BankEstimate:
    """Raises FileNotFoundError for a model that is missing, ValueError for one that is wrong."""
    from memsvc_router import load_model

    from memsvc.capacity import estimate, unknown_shape

    loaded = load_model(model)
    identity, footprint = loaded.identity, loaded.footprint
    shape = unknown_shape(footprint, tokens, documents or 1)
    found = estimate(footprint, tokens, shape, k or loaded.top_k, rate=None)
    return BankEstimate(
        identity=ToldIdentity(**asdict(identity), digest=identity.digest),
        document_count=found.documents,
        chunk_count=found.chunks,
        near_bytes=found.near_bytes,
        far_bytes=found.far_bytes,
        hop_bytes=found.hop_bytes,
        k=found.k,
        encode_seconds=None,
    )
