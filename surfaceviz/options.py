"""The words that options accept, in one place that needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

AUTO = "auto"
BN_MODES = ("fixed", "recalibrate")
DTYPES = ("float64", "float32", "tf32", "bf16", "float16")
ENGINES = ("eager", "folded", "compiled", "vmapped")
IGNORES = ("biasbn", "none")
NORMALISATIONS = ("filter", "layer", "weight", "dfilter", "dlayer", "none")
OPERATORS = ("hessian", "ggn")
OPTIMISERS = ("sgd", "adam", "adamw")
PLANES = ("pca", "last")
SCHEDULES = ("one-cycle", "steps", "constant")


_LARGEST_SEED = 2**32 - 1  # of torch's generator on CPUs, and of numpy's


def check_noise_seed(seed: int) -> None:
    """Refuse a seed that generators of random numbers do not take.

    Raises:
        ValueError: it is negative, or has more than 32 bits.
    """
    if not 0 <= seed <= _LARGEST_SEED:
        raise ValueError(f"noise-seed: expected a number from 0 to {_LARGEST_SEED}, got {seed}")


def one_of(name: str, value: str | None, known: Sequence[str | None]) -> None:
    """Refuse a value of an option that is not one of the known ones.

    Raises:
        ValueError: it is not.
    """
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(k for k in known if k)}, got {value!r}")
