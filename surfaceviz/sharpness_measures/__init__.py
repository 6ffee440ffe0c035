"""Measures of sharpness that the literature uses, and whether they survive what leaves the function as it is."""

from surfaceviz.sharpness_measures.all_measures import Label, all_measures
from surfaceviz.sharpness_measures.measurements import TITLES, Change, Figure
from surfaceviz.sharpness_measures.objective import Objective
from surfaceviz.sharpness_measures.record import CAUTION, Rescaled, Sharpness
from surfaceviz.sharpness_measures.rescale import KINDS, Rescaling, rescalings
from surfaceviz.sharpness_measures.table import changes_table, figures_table

__all__ = [
    "CAUTION",
    "KINDS",
    "TITLES",
    "Change",
    "Figure",
    "Label",
    "Objective",
    "Rescaled",
    "Rescaling",
    "Sharpness",
    "all_measures",
    "changes_table",
    "figures_table",
    "rescalings",
]  # fmt: skip
