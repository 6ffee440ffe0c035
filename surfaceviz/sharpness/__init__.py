"""Measures of sharpness that the literature uses, and whether they survive what leaves the function as it is."""

from surfaceviz.sharpness.all_measures import Label, all_measures
from surfaceviz.sharpness.measurements import TITLES, Change, Figure
from surfaceviz.sharpness.objective import Objective
from surfaceviz.sharpness.record import CAUTION, Rescaled, Sharpness
from surfaceviz.sharpness.rescale import KINDS, Rescaling, rescalings
from surfaceviz.sharpness.table import changes_table, figures_table

__all__ = [
    "CAUTION", "KINDS", "TITLES", "Change", "Figure", "Label", "Objective", "Rescaled", "Rescaling", "Sharpness",
    "changes_table", "figures_table", "rescalings", "all_measures",
]  # fmt: skip
