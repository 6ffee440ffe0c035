"""The Python interface to the search for critical points."""

from __future__ import annotations

from surfaceviz.api.interrupts import python_interrupts
from surfaceviz.pipeline.critical_points.request import CriticalPointsRequest
from surfaceviz.pipeline.critical_points.run import run_critical_points
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.problem.problem import Problem
from surfaceviz.records.studies import CriticalPoints
from surfaceviz.reporting import Reporter

_DEFAULT = defaults_of(CriticalPointsRequest.of)


def critical_points(
    problem: Problem | str,
    *,
    starts: int = _DEFAULT.starts,
    spread: float = _DEFAULT.spread,
    seed: int = _DEFAULT.seed,
    permuted: bool = _DEFAULT.permuted,
    parameters: str = _DEFAULT.parameters,
    data: str | None = _DEFAULT.data,
    split: str | None = _DEFAULT.split,
    samples: int | None = _DEFAULT.samples,
    reporter: Reporter | None = None,
) -> CriticalPoints:
    """Search for critical points of any index: minima, saddles and maxima of a small network or function.

    From each start |grad|^2 is minimised in float64 by Newton's method in a trust region, all starts at once. Ends
    within 1e-4 max(1, ||theta||) of each other are one point. Each point has the whole spectrum of its Hessian, and its
    kind by the rules of `hessian`: at a kink of the loss it is ``not smooth here`` or ``inconclusive``. A search finds
    points; it does not prove that there are no others, and it finds those with large basins more often.

    Args:
        problem: a `Problem`, or its name as on the command line, with at most 1000 parameters.
        starts: number of starts.
        spread: standard deviation of the starts around the problem's weights, in each parameter.
        seed: of the starts.
        permuted: whether points that differ by a permutation of the hidden units of linear layers count as one.
        parameters: ``all``, ``weights`` (no biases, no gains) or a pattern of names; the others stay.
        data: folder of a catalogue problem's data.
        split: the split whose loss is meant; by default the first.
        samples: size of a seeded subset; by default all.
        reporter: takes what happens; by default a bar in a notebook, and warnings go to `warnings`.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: problem or data are not as they should be, there are too many parameters, or the loss can't be
            mapped over weights by `torch.func.vmap`.
        KeyboardInterrupt: at Ctrl-C; at SIGTERM `SystemExit`.

    Example:
        >>> import torch
        >>> class Point(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.x = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
        >>> found = critical_points(Problem(Point(), loss=lambda m: (m.x[0] ** 2 - 1) ** 2 + m.x[1] ** 2), starts=40)
        >>> list(zip(found.kinds, found.index.tolist()))
        [('local minimum', 0), ('local minimum', 0), ('saddle', 1)]
    """
    request = CriticalPointsRequest.of(**options_for(CriticalPointsRequest.of, locals()))
    with python_interrupts(reporter):
        return run_critical_points(request, reporter)
