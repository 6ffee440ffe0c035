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
PLANES = ("pca", "last")


def one_of(name: str, value: str | None, known: Sequence[str | None]) -> None:
    """Refuse a value of an option that is not one of the known ones.

    Raises:
        ValueError: it is not.
    """
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(k for k in known if k)}, got {value!r}")
