"""The state of a training run on disk: one file, always whole, that names what it is a state of.

Knows files, tensors and torch's state dicts; not what is trained, nor when it is saved.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)
from torch.nn.parallel import DistributedDataParallel

STATE = "state.pt"
_FORMAT = 1


class SaveError(OSError):
    """What a run must keep could not be written; what was saved before is as it was."""


class ResumeError(ValueError):
    """A state on disk that this run cannot go on from."""


def write_state(folder: Path, state: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Write `folder/state.pt` beside the last one and rename it over.

    Raises SaveError, and leaves the last one, where it cannot be written (a full disk).
    """
    part = folder / f"{STATE}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save({"format": _FORMAT, "identity": dict(identity), **state}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / STATE)
        _sync(folder)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk in its own way
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise SaveError(
            f"{folder / STATE} could not be written: {_reason(error)}. "
            "The state that was saved before is intact; make room and run the same command again."
        ) from error


def read_state(folder: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state in `folder` on the CPU, None where there is none.

    Raises ResumeError if it is damaged, or is of another run than `identity`, naming the field.
    """
    path = folder / STATE
    if not path.exists():
        return None
    anew = "Give the run another folder, or remove the file to begin anew."
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ResumeError(
            f"{path} is no state of a training run, or is damaged: {_reason(error)}. {anew}"
        ) from None
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise ResumeError(f"{path} is no state of format {_FORMAT} of a training run. {anew}")
    _same(path, state["identity"], identity, anew)
    return state


def collect(module: nn.Module, optimizer: torch.optim.Optimizer, sharded: bool) -> dict[str, Any]:
    """What training changes: parameters that are trained, buffers, the optimizer's moments.

    sharded: the module is FSDP's; then every rank takes part and the first one gets it all.
    """
    if sharded:
        whole = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
        weights, moments = get_state_dict(module, optimizer, options=whole)
        return {"module": weights, "optimizer": moments}
    plain = _unwrapped(module)
    changing = _changing(plain)
    weights = {name: value for name, value in plain.state_dict().items() if name in changing}
    return {"module": weights, "optimizer": optimizer.state_dict()}


def restore(
    module: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any], sharded: bool
) -> None:
    """Put back what `collect` took. Raises ResumeError, naming it, where a tensor is not as it was.

    What is not in the state is frozen, and stays as the base had it.
    """
    if sharded:
        _check_shapes(module, state["module"])
        whole = StateDictOptions(full_state_dict=True, strict=False)
        set_state_dict(
            module,
            optimizer,
            model_state_dict=state["module"],
            optim_state_dict=state["optimizer"],
            options=whole,
        )
        return
    restore_weights(_unwrapped(module), state)
    optimizer.load_state_dict(state["optimizer"])


def restore_weights(module: nn.Module, state: Mapping[str, Any]) -> None:
    """The weights alone, into a module that is not sharded. Raises ResumeError as `restore`."""
    _check_shapes(module, state["module"])
    module.load_state_dict(state["module"], strict=False)


def _check_shapes(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    wanted = {name: value.shape for name, value in module.state_dict().items()}
    for name in sorted(_changing(module) | weights.keys()):
        if name not in weights or weights[name].shape != wanted.get(name):
            raise ResumeError(f"the saved state's {name} is not that of the model to train")


def _changing(module: nn.Module) -> set[str]:
    trained = {
        name
        for name, value in module.named_parameters(remove_duplicate=False)
        if value.requires_grad
    }
    kept = module.state_dict().keys()
    buffers = {name for name, _ in module.named_buffers(remove_duplicate=False)}
    return (trained | buffers) & kept


def _unwrapped(module: nn.Module) -> nn.Module:
    return module.module if isinstance(module, DistributedDataParallel) else module


def _same(path: Path, was: Mapping[str, Any], wanted: Mapping[str, Any], anew: str) -> None:
    for field in sorted({*was, *wanted}):
        if was.get(field) != wanted.get(field):
            raise ResumeError(
                f"{path} is of another run: its {field} is {was.get(field)!r}, "
                f"this run's {wanted.get(field)!r}. {anew}"
            )


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0] or type(error).__name__
