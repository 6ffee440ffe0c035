"""Progressive refinement: which points of a grid to evaluate next, what the others are, how good that is.

`refinement` is a generator that asks for points and is sent their losses; it knows nothing of how they are evaluated.
"""

from surfaceviz.refine.error_metric import Goal, Measure
from surfaceviz.refine.fill import fill
from surfaceviz.refine.refinement import Refined, Round, refinement

__all__ = ["Goal", "Measure", "Refined", "Round", "fill", "refinement"]
