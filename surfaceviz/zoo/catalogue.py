"""The catalogue: problems by name, their weights shipped with the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from surfaceviz.problem.problem import Problem
from surfaceviz.zoo import datasets, networks

Data = Mapping[str, datasets.Split]


@dataclass(frozen=True, slots=True)
class Entry:
    """One problem of the catalogue."""

    summary: str
    network: Callable[[], nn.Module]
    data: Callable[[str | None], Data]  # takes the folder given by --data
    takes_folder: bool = False


def _digits(_folder: str | None) -> Data:
    return datasets.digits()


ENTRIES: dict[str, Entry] = {
    "resnet20-digits": Entry(
        "ResNet-20 with skip connections on 8 x 8 handwritten digits",
        partial(networks.ResNet, 3, channels=1),
        _digits,
    ),
    "resnet20-plain-digits": Entry(
        "the same without skip connections",
        partial(networks.ResNet, 3, channels=1, skip=False),
        _digits,
    ),
    "mlp-digits": Entry("a 64-32-32-10 ReLU network on the digits", partial(networks.mlp, 64, 32, 32, 10), _digits),
    "cnn-fashion": Entry(
        "a small CNN on Fashion-MNIST (IDX files by --data or SURFACEVIZ_DATA)",
        networks.small_cnn,
        datasets.idx_folder,
        takes_folder=True,
    ),
}


def weights_path(name: str) -> Path:
    """Return where the package keeps the weights of entry ``name``."""
    return Path(__file__).parent / "weights" / f"{name}.safetensors"


def problem(name: str, folder: str | None = None) -> Problem:
    """Return the problem of entry ``name``, its weights loaded.

    Args:
        name: a key of `ENTRIES`.
        folder: where data that is not shipped lies.
    """
    entry = ENTRIES[name]
    model = entry.network()
    model.load_state_dict(load_file(weights_path(name)))
    return Problem(model, entry.data(folder), "cross_entropy", name=name)
