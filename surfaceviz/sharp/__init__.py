"""Measures of sharpness that the literature uses, and whether they survive what leaves the function as it is."""

from surfaceviz.sharp.figures import TITLES, Change, Figure
from surfaceviz.sharp.objective import Objective
from surfaceviz.sharp.record import CAUTION, Rescaled, Sharpness
from surfaceviz.sharp.rescale import KINDS, Rescaling, rescalings
from surfaceviz.sharp.survey import Label, survey
from surfaceviz.sharp.table import changes_table, figures_table

__all__ = [
    "CAUTION", "KINDS", "TITLES", "Change", "Figure", "Label", "Objective", "Rescaled", "Rescaling", "Sharpness",
    "changes_table", "figures_table", "rescalings", "survey",
]  # fmt: skip
