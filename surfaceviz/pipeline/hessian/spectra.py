"""Spectra of points, one after another. Processes share the samples, with one reduction for each product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from surfaceviz.curvature import (
    Operator,
    SampleShare,
    SpectrumSpec,
    check_derivatives,
    count_kinks,
    random_groups,
    spectrum,
)
from surfaceviz.errors import error_context
from surfaceviz.execute import WorkerSpec, map_workers
from surfaceviz.pipeline.hessian.checks.float64_check import check_precision
from surfaceviz.pipeline.hessian.checks.stored_values import refuse_other_value
from surfaceviz.pipeline.hessian.checks.trained import untrained_lines
from surfaceviz.pipeline.hessian.operators import MemoryBudget, build_hvp
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.problem.functional import loss_sums
from surfaceviz.records import Spectrum
from surfaceviz.reporting import Reporter
from surfaceviz.signals import raise_if_interrupted

_BATCH = 512  # samples in a batch for counting kinks


def compute_spectra(
    targets: HessianTargets,
    request: HessianRequest,
    missing: Sequence[tuple[int, SpectrumSpec]],
    *,
    workers: WorkerSpec,
    memory: MemoryBudget,
    reporter: Reporter,
    derivatives: str,
) -> Iterator[Spectrum]:
    """Yield the spectrum of each missing point; each process multiplies on its share of the samples."""
    make = lambda number: build_hvp(targets, request, memory, SampleShare(number, workers.count))  # noqa: E731
    with map_workers(make, workers) as each:
        operator = Operator(each, targets.layout, targets.dtype)
        for number, wanted in missing:
            raise_if_interrupted()
            site = targets.site(number)
            precision = check_precision(targets, request, number)
            site = replace(
                site, fields={**site.fields, "derivatives": derivatives, **(precision.fields if precision else {})},
                rounding=precision.error if precision else None,
            )  # fmt: skip
            for line in untrained_lines(targets, number):
                reporter.warn(line)
            if kinks := kinks_at(targets, number):
                note = kink_note(kinks)
                site = replace(site, fields={**site.fields, "notes": (note,)})
                reporter.warn(note)
            given = targets.split.given
            groups = random_groups(len(given) or targets.split.count, single=bool(given))
            site = replace(site, kinks=kinks, groups=groups)
            record, _ = spectrum(operator, site, replace(wanted, memory=memory.vectors), say=reporter.say)
            refuse_other_value(targets.points[number].stored, record.loss, drawn_in=targets.drawn_in)
            for note in record.notes[len(site.fields.get("notes", ())) :]:
                reporter.warn(note)
            yield record


def check_at(targets: HessianTargets, number: int, reporter: Reporter, operator: str = "hessian") -> str:
    """Return whether derivatives at a point agree with differences, on a few samples, in words.

    Raises:
        ProblemError: they do not.
    """
    names = [targets.own_names[name] for name in targets.layout.names]
    found = check_derivatives(targets.problem, targets.split, targets.state(number), names, operator=operator)
    reporter.say(f"derivatives: {found}")
    return str(found)


def kink_note(kinks: str) -> str:
    """Return the warning about kinks."""
    return f"there may be no Hessian in the strict sense: {kinks} at a kink or tie exactly"


def kinks_at(targets: HessianTargets, number: int) -> str:
    """Return the operators whose inputs lie exactly at a kink or tie, in words; '' if there are none."""
    state, sum_losses = targets.state(number), loss_sums(targets.problem)
    names = [targets.own_names[name] for name in targets.layout.names]

    def run(leaves: Sequence[Tensor]) -> None:
        for batch in targets.split.batches(_BATCH):
            sum_losses({**state, **dict(zip(names, leaves, strict=True))}, batch)

    with error_context("the loss"):
        return count_kinks([state[name] for name in names], run).words
