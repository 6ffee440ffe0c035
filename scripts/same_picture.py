"""Comparison of pictures that were made again with those committed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.image import imread

# Mean absolute difference of the values 0 .. 1. Values that differ by rounding move the edge of a contour by a pixel.
TOLERANCE = 0.005


def differences(made: Sequence[Path], committed: Path) -> list[str]:
    """Return a line for each PNG that is missing in a folder, has another size, or differs visibly."""
    lines = []
    for path in made:
        old = committed / path.name
        if not old.is_file():
            lines.append(f"{path.name} is not committed")
            continue
        new_values, old_values = imread(path), imread(old)
        if new_values.shape != old_values.shape:
            lines.append(f"{path.name}: {new_values.shape} instead of {old_values.shape} pixels")
        elif (mean := float(np.abs(new_values - old_values).mean())) > TOLERANCE:
            lines.append(f"{path.name} differs by {mean:.4f} on average")
    return lines
