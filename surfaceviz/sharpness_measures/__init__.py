"""Sharpness measures of the literature, and whether they survive rescalings that keep the function."""

from surfaceviz.sharpness_measures.all_measures import CheckpointLabel, SharpnessSpec, measure_sharpness
from surfaceviz.sharpness_measures.measurements import Change, Measurement
from surfaceviz.sharpness_measures.record import CAUTION, RescalingEffect, Sharpness
from surfaceviz.sharpness_measures.registry import MEASURES
from surfaceviz.sharpness_measures.table import changes_table, measurements_table

__all__ = [
    "CAUTION",
    "MEASURES",
    "Change",
    "CheckpointLabel",
    "Measurement",
    "RescalingEffect",
    "Sharpness",
    "SharpnessSpec",
    "changes_table",
    "measure_sharpness",
    "measurements_table",
]  # fmt: skip
