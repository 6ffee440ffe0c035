"""A warning for accuracies near chance, where the trained weights may not have been loaded."""

from __future__ import annotations

_NEAR = 1.2  # times the accuracy of a uniform guess; ours


def near_chance_lines(where: str, accuracy: float | None, classes: int | None) -> list[str]:
    """Return a warning if an accuracy is that of a uniform guess or worse, else an empty list.

    Args:
        where: the split and the point, for the message.
        accuracy: share of right predictions, in [0, 1]; None where the targets are not classes.
        classes: number of classes that the model predicts.
    """
    if not classes or classes < 2 or accuracy is None or accuracy >= _NEAR / classes:  # noqa: PLR2004
        return []
    chance = f"the {where}, {accuracy:.3g}, is near chance (1 in {classes:,})"
    return [f"{chance}: were the trained weights loaded? If not, give their file by --weights"]
