"""The request for a training: the user's options. Importing this module does not import torch."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

from surfaceviz.options import AUTO, OPTIMISERS, SCHEDULES, one_of

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """The user's options for a training; None stands for the network's own.

    Attributes:
        network: name of a network.
        dataset: name of a data set, a folder of ``.npz``, or a text file.
        output: the folder.
        epochs: passes over the training split.
        batch_size: samples in a batch, or ``all``.
        lr: largest learning rate.
        optimiser: ``sgd``, ``adam`` or ``adamw``.
        momentum: of SGD.
        nesterov: whether SGD's momentum is Nesterov's.
        weight_decay: factor of the L2 penalty; of AdamW, that of the decoupled decay.
        schedule: ``one-cycle``, ``steps`` or ``constant``.
        augment: whether images are moved at random, and mirrored where that makes sense.
        seed: seed of the initial weights, the order of the samples and the augmentation.
        every: epochs between checkpoints.
        data: folder of a named data set, or the place of a moved one.
        device: as torch names it.
        overwrite: whether to start again.
    """

    network: str
    dataset: str
    output: Path
    epochs: int | None = None
    batch_size: int | str | None = None
    lr: float | None = None
    optimiser: str | None = None
    momentum: float | None = None
    nesterov: bool | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    augment: bool = True
    seed: int = 0
    every: int | None = None
    data: str | None = None
    device: str = AUTO
    overwrite: bool = False

    @classmethod
    def of(
        cls,
        network: str,
        dataset: str | Path,
        *,
        output: str | Path | None = None,
        epochs: int | None = None,
        batch_size: int | str | None = None,
        lr: float | None = None,
        optimiser: str | None = None,
        momentum: float | None = None,
        nesterov: bool | None = None,
        weight_decay: float | None = None,
        schedule: str | None = None,
        augment: bool = True,
        seed: int = 0,
        every: int | None = None,
        data: str | None = None,
        device: str = AUTO,
        overwrite: bool = False,
    ) -> TrainRequest:
        """Return the request that raw options describe; their defaults are defined only here.

        Raises:
            ValueError: an option is invalid, or two options contradict each other.
        """
        folder = Path(f"{network}-{Path(dataset).stem}-run") if output is None else Path(output)
        size = int(batch_size) if isinstance(batch_size, str) and batch_size.isdecimal() else batch_size
        return cls(
            network=network, dataset=str(dataset), output=folder, epochs=epochs, batch_size=size, lr=lr,
            optimiser=optimiser, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, schedule=schedule,
            augment=augment, seed=seed, every=every, data=data, device=device, overwrite=overwrite,
        )  # fmt: skip

    def __post_init__(self) -> None:
        """Check the options before anything is built."""
        one_of("optimiser", self.optimiser, (*OPTIMISERS, None))
        one_of("schedule", self.schedule, (*SCHEDULES, None))
        if isinstance(self.batch_size, str) and self.batch_size != ALL:
            raise ValueError(f"batch_size must be a number of samples, or {ALL}, got {self.batch_size!r}")
        for name in ("epochs", "batch_size", "every"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name, least, below, expected in (
            ("lr", sys.float_info.min, math.inf, "a number above 0"),
            ("momentum", 0, 1, "from 0 to below 1"),
            ("weight_decay", 0, math.inf, "at least 0"),
            ("seed", 0, math.inf, "at least 0"),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value < below:
                raise ValueError(f"{name} must be {expected}, got {value}")
        if self.optimiser in ("adam", "adamw") and (self.momentum is not None or self.nesterov is not None):
            raise ValueError(f"momentum and nesterov belong to sgd, but the optimiser is {self.optimiser}")
