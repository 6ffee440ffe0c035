"""Progressive refinement: which points of a grid to evaluate next, what the others are, how good that is.

`refinement` is a generator that asks for points and is sent their losses; it knows nothing of how they are evaluated.
"""

from surfaceviz.refine.error_metric import ErrorMetric, RefinementGoal
from surfaceviz.refine.fill import fill
from surfaceviz.refine.refinement import RefinementResult, RefinementRound, refinement

__all__ = ["ErrorMetric", "RefinementGoal", "RefinementResult", "RefinementRound", "fill", "refinement"]
