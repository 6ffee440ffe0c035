"""Progressive refinement: which points of a grid to evaluate next, what the others are, how good that is.

`refinement` is a generator that asks for points and is sent their losses; it knows nothing of how they are evaluated.
"""

from surfaceviz.refine.acquisition import coarse_lattice
from surfaceviz.refine.error_metrics import ErrorMetric, JudgedMetric, LossError, MetricError, RefinementGoal
from surfaceviz.refine.refinement import RefinementResult, RefinementRound, refinement

__all__ = [
    "ErrorMetric",
    "JudgedMetric",
    "LossError",
    "MetricError",
    "RefinementGoal",
    "RefinementResult",
    "RefinementRound",
    "coarse_lattice",
    "refinement",
]
