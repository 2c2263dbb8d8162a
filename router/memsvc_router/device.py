"""When the memory of the device that a model computes on runs out: what is told then."""

from __future__ import annotations

from memsvc_kernels import out_of_memory


class DeviceFull(Exception):  # noqa: N818
    """No memory was left for one question or one document by itself; nothing has changed.
    Retryable."""

    def __init__(self) -> None:
        super().__init__(
            "the GPU's memory ran out: try again when less is asked at a time; if that recurs, "
            "lower the question's k and max_read_tokens, or serve the model where more is free"
        )


def device_full(error: BaseException | None) -> DeviceFull | None:
    """What to tell instead of an error that says that memory ran out; None for any other. (The
    error itself would keep the tensors of its frames.)"""
    full = isinstance(error, Exception) and out_of_memory(error)
    return DeviceFull() if full else None
