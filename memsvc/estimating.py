"""`memsvc bank estimate --model`: what text would cost with a checkpoint, without a server.

Knows how to look at a model; encodes nothing, so no time is told.
"""

from __future__ import annotations

from dataclasses import asdict

from memsvc_client import BankEstimate
from memsvc_client import Identity as ToldIdentity


def estimate_offline(model: str, tokens: int, documents: int | None, k: int | None) -> BankEstimate:
    """Raises FileNotFoundError for a model that is missing, ValueError for one that is wrong."""
    from memsvc_router.models import read_facts

    from memsvc.capacity import estimate, unknown_shape

    facts = read_facts(model)
    identity = facts.identity
    shape = unknown_shape(facts.footprint, tokens, documents or 1)
    found = estimate(facts.footprint, tokens, shape, k or facts.top_k, rate=None)
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
