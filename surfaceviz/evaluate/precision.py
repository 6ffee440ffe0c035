"""The dtypes in which a slice can be computed, and the tolerances between engines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "tf32": torch.float32,  # weights and activations in float32, products in TensorFloat-32 where a GPU has it
    "bf16": torch.bfloat16,
    "float16": torch.float16,
}

# Relative difference (absolute below a loss of 0.01, times 0.01) that an engine may have from the eager one, because it
# sums products in another order. Half precisions: 8 and 11 bits through some twenty layers.
_AGREEMENT = {"float64": 1e-9, "float32": 1e-5, "tf32": 1e-2, "bf16": 5e-2, "float16": 1e-2}


def default_dtype(model: nn.Module) -> str:
    """Return ``float64`` for a model with parameters of that dtype, else ``float32``.

    A half-precision model is evaluated in float32 by default: in its own dtype, most weights would not change between
    close points of a slice, and the curve would have steps.
    """
    return "float64" if any(p.dtype in (torch.float64, torch.complex128) for p in model.parameters()) else "float32"


def master_dtype(dtype: str) -> torch.dtype:
    """Return the dtype in which weights are perturbed: float32 or wider.

    >>> master_dtype("bf16")
    torch.float32
    """
    return torch.promote_types(DTYPES[dtype], torch.float32)


def to_master_dtype(state: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """Return tensors on the CPU, floating-point ones in the master dtype of ``dtype``."""
    master = master_dtype(dtype)
    return {
        name: tensor.to(device="cpu", dtype=master if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in state.items()
    }


def disagreement(loss: float, other: float, dtype: str) -> float:
    """Return the difference of two engines' losses at a point, in units of the tolerance of ``dtype``.

    >>> disagreement(2.0, 2.00001, "float32") < 1 < disagreement(2.0, 2.0001, "float32")
    True
    """
    return abs(loss - other) / (_AGREEMENT[dtype] * max(abs(loss), 1e-2))


@contextmanager
def allow_tf32(dtype: str, device: torch.device) -> Iterator[None]:
    """Allow a GPU to round the factors of float32 products to TensorFloat-32, for the dtype ``tf32`` only."""
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = dtype == "tf32"
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
