"""Training steps, read from the names of checkpoint files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def steps_of(weights: Sequence[str]) -> list[float]:
    """Return the training steps in the files' names, such as ``step-400`` or ``epoch_7``; else 0, 1, 2, ...

    >>> steps_of(["run/step-0400.pt", "step_500-seed1.pt"]), steps_of(["step-1.pt", "final.pt"])
    ([400.0, 500.0], [0.0, 1.0])
    """
    stems = [Path(given.rpartition(":")[0] or given).stem for given in weights]
    found = [
        re.search(r"(?:step|epoch|iter|iteration|ckpt|checkpoint)s?[-_=]?(\d+)", stem, re.IGNORECASE) for stem in stems
    ]
    steps = [float(match.group(1)) for match in found if match]
    return steps if len(set(steps)) == len(stems) else [float(i) for i in range(len(stems))]
