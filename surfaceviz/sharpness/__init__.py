"""Measures of sharpness that the literature uses, and whether they survive what leaves the function as it is."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import surfaceviz
from surfaceviz.sharpness.figures import TITLES, Change, Figure
from surfaceviz.sharpness.objective import Objective
from surfaceviz.sharpness.record import CAUTION, Rescaled, Sharpness
from surfaceviz.sharpness.rescale import KINDS, Rescaling, rescalings
from surfaceviz.sharpness.survey import Label, survey
from surfaceviz.sharpness.table import changes_table, figures_table

__all__ = [
    "CAUTION", "KINDS", "TITLES", "Change", "Figure", "Label", "Objective", "Rescaled", "Rescaling", "Sharpness",
    "changes_table", "figures_table", "rescalings", "survey",
]  # fmt: skip


class _Room(ModuleType):
    """This package, which can be called: importing it takes the name of the public function `surfaceviz.sharpness`."""

    def __call__(self, *args: Any, **options: Any) -> Sharpness:
        """Do as the public function does."""
        found: Sharpness = surfaceviz.__getattr__("sharpness")(*args, **options)
        return found


sys.modules[__name__].__class__ = _Room
