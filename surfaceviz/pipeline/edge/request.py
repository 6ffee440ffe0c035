"""The request for the stability along a training: the user's options, checked before anything is built."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from surfaceviz.options import AUTO
from surfaceviz.pipeline.hessian.request import RTOL, parse_memory
from surfaceviz.start_folder import anchored

if TYPE_CHECKING:
    from surfaceviz.problem.problem import Problem

_MOST, _BATCHES = 50, 16  # checkpoints, mini-batches; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRequest:
    """The user's options for the stability along a training.

    Attributes:
        folder: of checkpoints, as `surfaceviz train` and `Recorder` write them.
        problem: a problem or its name; None for a folder of `surfaceviz train`, which is one.
        learning_rate: of plain gradient descent, for checkpoints that record none; None for the recorded optimiser.
        critical: whether critical sharpness is computed, and nothing that needs second derivatives.
        checkpoints: the most checkpoints, evenly spread.
        batches: number of mini-batches for batch sharpness; 0 for none.
        batch_size: samples in a mini-batch of the training; None for that of `surfaceviz train`, else none.
        rtol: relative residual of eigenvalues.
        seed: of start vectors and mini-batches.
        data: folder of a catalogue problem's data.
        split: the training split; by default the first.
        samples: size of a seeded subset.
        device: a torch device name; ``auto`` takes a GPU if there is one.
        dtype: float64 or float32; by default float64 for a float64 model, else float32.
        memory: bytes in total; None for half of the free memory.
        output: the file; None to only return the result.
        default_output: whether the file is named after the folder, in the current folder.
        overwrite: whether to recompute what the file holds, and to replace a file of another training.
    """

    folder: Path
    problem: str | Problem | None = None
    learning_rate: float | None = None
    critical: bool = False
    checkpoints: int = _MOST
    batches: int = _BATCHES
    batch_size: int | None = None
    rtol: float = RTOL
    seed: int = 0
    data: str | None = None
    split: str | None = None
    samples: int | None = None
    device: str = AUTO
    dtype: str | None = None
    memory: int | None = None
    output: Path | None = None
    default_output: bool = False
    overwrite: bool = False

    @classmethod
    def of(
        cls,
        folder: str | Path,
        *,
        problem: str | Problem | None = None,
        learning_rate: float | None = None,
        critical: bool = False,
        checkpoints: int = _MOST,
        batches: int = _BATCHES,
        batch_size: int | None = None,
        rtol: float = RTOL,
        seed: int = 0,
        data: str | None = None,
        split: str | None = None,
        samples: int | None = None,
        device: str = AUTO,
        dtype: str | None = None,
        memory: int | str | None = None,
        output: str | Path | None = None,
        default_output: bool = False,
        overwrite: bool = False,
    ) -> EdgeRequest:
        """Return the request that raw options describe; their defaults are defined only here.

        Raises:
            ValueError: an option is invalid.
        """
        return cls(
            folder=anchored(folder), problem=problem, learning_rate=learning_rate, critical=critical,
            checkpoints=checkpoints, batches=batches, batch_size=batch_size, rtol=rtol, seed=seed, data=data,
            split=split, samples=samples, device=device, dtype=dtype,
            memory=parse_memory(memory) if isinstance(memory, str) else memory,
            output=None if output is None else anchored(output), default_output=default_output, overwrite=overwrite,
        )  # fmt: skip

    def __post_init__(self) -> None:
        """Check the options before anything is built."""
        if self.dtype not in (None, "float64", "float32"):
            raise ValueError(f"dtype: expected float64 or float32, got {self.dtype!r}")
        for name, least in (("checkpoints", 2), ("batches", 0), ("batch_size", 1), ("samples", 1), ("memory", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name.removesuffix('_size')} must be at least {least}, got {value}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"learning rate: expected a positive number, got {self.learning_rate:g}")
        if not 0 < self.rtol < 1:
            raise ValueError(f"rtol must lie between 0 and 1, got {self.rtol:g}")

    @property
    def path(self) -> Path | None:
        """The file of the result; None to only return it."""
        return anchored(f"{self.folder.resolve().name}-edge.h5") if self.default_output else self.output

    @property
    def words(self) -> str:
        """The options that determine the values, as text."""
        own = ("learning_rate", "split", "samples", "batches", "batch_size", "rtol", "seed", "dtype")
        return ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name in own)
