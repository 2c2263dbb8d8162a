# ruff: noqa: N818  (names say what is wrong, as in memsvc_storage)
"""What the engine refuses, and why. Knows no status codes of any wire."""

from __future__ import annotations


class EngineError(Exception):
    """Base of the engine's own refusals; the message is fit for a caller's eyes."""


class ModelNotReady(EngineError):
    """A question came before the model was loaded, or after loading it failed. Retryable."""


class EncodingUnhealthy(EngineError):
    """Waiting for encoding ran out of time while encoding keeps failing. Retryable."""


class Overloaded(EngineError):
    """Too many questions wait for the model already. Retryable after a pause."""


class MemoryChanged(EngineError):
    """A document vanished under an answer that was half told. Retryable."""


class EngineStopped(EngineError):
    """The engine is stopping or has stopped."""
