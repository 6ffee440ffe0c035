"""Checkpoints laid on known curves, for tests of trajectories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import surfaceviz
from surfaceviz.records import FloatArray

SPIRAL = np.stack([np.cos(t := np.linspace(0, 4, 12)) * (12 - 3 * t), np.sin(t) * (4 - t)], axis=1)  # ends at (0, 0)
SPIRAL = SPIRAL - SPIRAL[-1]


def problem(sizes: tuple[int, int, int] = (4, 5, 3)) -> surfaceviz.Problem:
    """Return a small float64 network with batch norm on sixty samples."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(*sizes[:2]), nn.BatchNorm1d(sizes[1]), nn.Tanh(), nn.Linear(*sizes[1:])
        ).double()
        x, y = torch.randn(60, sizes[0], dtype=torch.float64), torch.randint(sizes[2], (60,))
    data = {"train": (x, y), "test": (x[:20] + 0.1, y[:20])}
    return surfaceviz.Problem(model, data, "cross_entropy", name="net")


def orthonormal(model: nn.Module, seed: int = 1) -> FloatArray:
    """Return two orthonormal directions over all parameters, (2, P)."""
    count = sum(parameter.numel() for parameter in model.parameters())
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(count, 2)))[0].T


def lay(
    folder: Path,
    model: nn.Module,
    offsets: FloatArray,
    *,
    name: Callable[[int], str] = "step-{}.safetensors".format,
    change: Callable[[int, dict[str, Tensor]], None] | None = None,
) -> list[str]:
    """Write the model plus each offset, (t, P) in the order of the parameters, as a checkpoint; return the files.

    Args:
        folder: is made.
        model: is not changed.
        offsets: from the model's parameters.
        name: of the t-th file.
        change: called with the number and the state of each checkpoint before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for k, offset in enumerate(offsets):
        state = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
        start = 0
        for key, parameter in model.named_parameters():
            piece = torch.from_numpy(offset[start : start + parameter.numel()]).reshape(parameter.shape)
            state[key] += piece.to(parameter.dtype)
            start += parameter.numel()
        if change is not None:
            change(k, state)
        path = folder / name(k)
        save_file(state, path) if path.suffix == ".safetensors" else torch.save({"state_dict": state}, path)
        files.append(str(path))
    return files
