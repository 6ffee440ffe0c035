"""The catalogue of problems by name, with trained weights that the package ships.

To add a network: write its class or function in `networks`, add a `CatalogueEntry` here, and run
``python scripts/train_zoo.py NAME``, which writes the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from surfaceviz.problem.problem import Problem
from surfaceviz.zoo import datasets, networks
from surfaceviz.zoo.labelled_data import Dataset, Splits
from surfaceviz.zoo.training import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One problem of the catalogue.

    Attributes:
        summary: a phrase that describes the problem.
        network: returns the untrained network.
        data: returns the splits; its argument is the folder given by ``--data``.
        recipe: how the shipped weights were trained.
        target: the test accuracy that the shipped weights exceed.
        accuracy: the test accuracy of the shipped weights.
        takes_folder: whether ``--data`` applies.
    """

    summary: str
    network: Callable[[], nn.Module]
    data: Callable[[str | None], Splits]
    recipe: Recipe
    target: float
    accuracy: float
    takes_folder: bool = False


def _digits(_folder: str | None) -> Splits:
    return datasets.digits()


CATALOGUE: dict[str, CatalogueEntry] = {
    "resnet20-digits": CatalogueEntry(
        summary="ResNet-20 with skip connections on 8 x 8 handwritten digits",
        network=partial(networks.ResNet, 3, channels=1),
        data=_digits,
        recipe=Recipe(epochs=60, shift=1),
        target=0.97,
        accuracy=0.9889,
    ),
    "resnet20-plain-digits": CatalogueEntry(
        summary="the same without skip connections",
        network=partial(networks.ResNet, 3, channels=1, skip=False),
        data=_digits,
        recipe=Recipe(epochs=80, peak_rate=0.05, shift=1),
        target=0.95,
        accuracy=0.9917,
    ),
    "mlp-digits": CatalogueEntry(
        summary="a 64-32-32-10 ReLU network on the digits",
        network=partial(networks.mlp, 64, 32, 32, 10),
        data=_digits,
        recipe=Recipe(epochs=60, peak_rate=0.05),
        target=0.93,
        accuracy=0.9694,
    ),
    "cnn-digits": CatalogueEntry(
        summary="three plain convolutions with batch norm on the digits",
        network=networks.batch_norm_cnn,
        data=_digits,
        recipe=Recipe(epochs=30, shift=1),
        target=0.97,
        accuracy=0.9861,
    ),
    "cnn-fashion": CatalogueEntry(
        summary="a small CNN on Fashion-MNIST (IDX files by --data or SURFACEVIZ_DATA)",
        network=networks.small_cnn,
        data=datasets.idx_folder,
        recipe=Recipe(epochs=2, batch_size=128, peak_rate=0.1),
        target=0.85,
        accuracy=0.8882,
        takes_folder=True,
    ),
}


def weights_path(name: str) -> Path:
    """Return the path of the shipped weights of entry ``name``."""
    return Path(__file__).parent / "weights" / f"{name}.safetensors"


def problem(name: str, folder: str | None = None) -> Problem:
    """Return the problem of entry ``name`` with its trained weights.

    Args:
        name: a key of `CATALOGUE`.
        folder: the folder of data that the package does not ship.
    """
    entry = CATALOGUE[name]
    model = entry.network()
    model.load_state_dict(load_file(weights_path(name)))
    return Problem(model, entry.data(folder), "cross_entropy", name=name)


def size(name: str) -> int:
    """Return the number of parameters of entry ``name``, without allocating them."""
    with torch.device("meta"):
        return networks.parameter_count(CATALOGUE[name].network())


def dataset(name: str, folder: str | None = None) -> Dataset:
    """Return the data of entry ``name``, for training."""
    return Dataset(splits=CATALOGUE[name].data(folder), classes=10)
