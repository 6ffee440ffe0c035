"""Sharpness measures of the literature, and whether they survive rescalings that keep the function."""

from surfaceviz.sharpness_measures.all_measures import CheckpointLabel, SharpnessSpec, measure_sharpness
from surfaceviz.sharpness_measures.measurements import Change, Measurement
from surfaceviz.sharpness_measures.objective import Objective
from surfaceviz.sharpness_measures.record import CAUTION, RescalingEffect, Sharpness
from surfaceviz.sharpness_measures.registry import MEASURES
from surfaceviz.sharpness_measures.rescale import KINDS, Rescaling, rescalings
from surfaceviz.sharpness_measures.table import changes_table, measurements_table

__all__ = [
    "CAUTION",
    "KINDS",
    "MEASURES",
    "Change",
    "CheckpointLabel",
    "Measurement",
    "Objective",
    "Rescaling",
    "RescalingEffect",
    "Sharpness",
    "SharpnessSpec",
    "changes_table",
    "measure_sharpness",
    "measurements_table",
    "rescalings",
]  # fmt: skip
