# ruff: noqa: N818  (names say what is wrong, as in memsvc_storage)
"""What the engine refuses, and why. Knows no status codes of any wire."""

from __future__ import annotations

from memsvc_storage import Operation


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


class BankMoved(MemoryChanged):
    """Another model came to serve the bank while a question of the former ran. Retryable."""


class BankReencoding(EngineError):
    """The bank's blocks are of a model that is not loaded, and not all are made anew yet."""

    def __init__(self, bank: str, operation: Operation) -> None:
        super().__init__(
            f"bank {bank!r} is encoded anew for the loaded model: "
            f"{operation.done} of {operation.total} documents are done"
        )
        self.bank = bank
        self.operation = operation


class EngineStopped(EngineError):
    """The engine is stopping or has stopped."""
