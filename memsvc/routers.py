"""Which model a data directory is served by: the settings' own, or the current router version.

Knows settings and versions; loads no model.
"""

from __future__ import annotations

from dataclasses import dataclass

from memsvc_storage import RouterVersions

from memsvc.config import ServerConfig


@dataclass(frozen=True)
class Served:
    """Names as `memsvc_router.load_model` takes them (None: the model that ships). `previous`
    serves the banks that it encoded until they are encoded anew; `version`: of the router, 0 where
    the model is the settings' own."""

    model: str | None
    previous: str | None
    version: int = 0


def served_by(config: ServerConfig) -> Served:
    """A model that is set is meant: versions serve only where none is.

    Raises RouterNotFound where the version that should serve is gone, and RoutersDamaged.
    """
    if config.model is not None:
        return Served(config.model, config.previous_model)
    versions = RouterVersions(config.data)
    current, before = versions.current(), versions.previous()
    previous = config.previous_model
    if previous is None and before is not None:
        previous = str(before.checkpoint)
    if current is None:
        return Served(None, previous)
    return Served(str(current.checkpoint), previous, current.number)
