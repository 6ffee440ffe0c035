"""The Python interface to the minima of a slice."""

from __future__ import annotations

from pathlib import Path

from surfaceviz.api.interrupts import python_interrupts
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.minima.request import MinimaRequest
from surfaceviz.pipeline.minima.run import run_minima
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice
from surfaceviz.reporting import Reporter

_DEFAULT = defaults_of(MinimaRequest.of)


def minima(
    surface: Slice | str | Path,
    *,
    split: str | None = _DEFAULT.split,
    most: int = _DEFAULT.most,
    problem: str | Problem | None = _DEFAULT.problem,
    data: str | None = _DEFAULT.data,
    device: str = _DEFAULT.device,
    trust: bool = _DEFAULT.trust,
    reporter: Reporter | None = None,
) -> Slice:
    """Return a slice with the local minima of its loss, and which of them exceed the noise of the samples.

    Minima and passes are those of the merge tree of the grid. A minimum counts if the loss at its pass exceeds its own
    by more than z(1 - 0.05 / m) standard errors of the paired difference, m being the number of all minima. The few
    points are evaluated again for it in float64: on samples that the slice was not computed on, where it has a subset
    and there are at least 100 others, and a quarter of its own number; else on its own samples, which also chose the
    pairs. It must also hold with the other diagonal of the cells, and on every second point. Minima on the border do
    not count. The statement is about the slice: a minimum of a slice is seldom one of the loss.

    Args:
        surface: a slice, or its file, which then holds the minima as well.
        split: the split whose loss is meant; by default the first.
        most: largest number of minima that are judged, the most persistent first.
        problem: the problem of a slice of live objects.
        data: folder of a catalogue problem's data.
        device: as torch names it; ``auto`` takes a GPU where there is one.
        trust: whether to run and read what a slice's file names, although you did not make it; this is remembered.
        reporter: takes what happens; by default warnings go to `warnings`.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: the slice is not finished or has no per-sample losses, or its problem is not as it was.
        KeyboardInterrupt: at Ctrl-C; at SIGTERM `SystemExit`.

    Example:
        >>> import torch, surfaceviz
        >>> x = torch.linspace(-1, 1, 8).reshape(8, 1)
        >>> made = Problem(torch.nn.Linear(1, 1, bias=False), (x, 2 * x), "mse")
        >>> _ = torch.nn.init.constant_(made.model.weight, 2.0)
        >>> found = minima(surfaceviz.slice(made, [(-1, 1, 9)]), problem=made).minima
        >>> found.count, found.place.tolist()
        (1, [[0.0]])
    """
    options = options_for(MinimaRequest.of, locals())
    with python_interrupts(reporter):
        return run_minima(MinimaRequest.of(**options), reporter)
