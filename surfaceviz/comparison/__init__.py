"""Statistics of a comparison: differences with intervals, Holm's correction, verdicts (numpy and scipy)."""

from surfaceviz.comparison.effort import DIRECTIONS
from surfaceviz.comparison.forecast import Goal, chance_of_decision, draws_needed
from surfaceviz.comparison.holm import detectable, holm, is_out_of_reach
from surfaceviz.comparison.intervals import (
    combined,
    from_directions,
    from_samples,
    from_trainings,
    minus,
    shift_of,
    without_interval,
)
from surfaceviz.comparison.measures import CAVEAT, HELD_OUT, MEASURES, RADII, SYMMETRIES, Measure
from surfaceviz.comparison.verdict import REASONS, Evidence, equivalence_p, margin_of, verdicts

__all__ = [
    "CAVEAT",
    "DIRECTIONS",
    "HELD_OUT",
    "MEASURES",
    "RADII",
    "REASONS",
    "SYMMETRIES",
    "Evidence",
    "Goal",
    "Measure",
    "chance_of_decision",
    "combined",
    "detectable",
    "draws_needed",
    "equivalence_p",
    "from_directions",
    "from_samples",
    "from_trainings",
    "holm",
    "is_out_of_reach",
    "margin_of",
    "minus",
    "shift_of",
    "verdicts",
    "without_interval",
]  # fmt: skip
