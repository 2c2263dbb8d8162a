"""Between torch tensors and the numpy arrays that blocks rest in; bfloat16 included."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def to_array(tensor: Tensor) -> NDArray[Any]:
    """A copy in the tensor's own precision."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return np.array(tensor.view(torch.int16).numpy().view(_BFLOAT16))
    return np.array(tensor.numpy())


def to_tensor(array: NDArray[Any]) -> Tensor:
    """The same values; shares memory where it can."""
    array = np.ascontiguousarray(array)
    if array.dtype == _BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
