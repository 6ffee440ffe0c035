"""Baseline: the records that were written into the parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surfaceviz import store
from surfaceviz.errors import MergeError
from surfaceviz.records import Slice, Spectrum, Trajectory
from surfaceviz.store.merge import merge


def _spectrum(count: int, **changes: object) -> Spectrum:
    values = np.arange(count, dtype=np.float64)
    made = Spectrum(
        eigenvalues=values, residuals=values, converged=np.ones(count, bool), place=(0.0, 0.0), dimension=9, bottom=0,
        norm=1.0, loss=1.0, gradient_norm=0.0, kind="saddle", reason="", split="train", samples=4, operator="hessian",
        parameters="all", normalised=False, rtol=1e-3, seed=0, products=1, dtype="float32",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def _trajectory(end: float) -> Trajectory:
    steps = np.array([0.0, 1.0])
    return Trajectory(
        coordinates=np.array([[0.0, 0.0], [end, 1.0]]), step=steps, distance=steps, values={}, provenance={}
    )


def _part(number: int, **changes: object) -> Slice:
    axes = (np.linspace(-1, 1, 3), np.linspace(-1, 1, 4))
    origin = np.zeros((3, 4), np.uint8)
    origin.flat[number::2] = 1
    values = np.where(origin, axes[0][:, None] + axes[1], np.nan)
    made = Slice(
        axes=axes, values={"train_loss": values}, origin=origin, centre={"train_loss": 0.0},
        provenance={"problem": "net", "splits": "train", "shard": f"{number + 1}/2"},
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def _merged(first: Slice, second: Slice) -> Slice:
    store.write(Path("1.h5"), first)
    store.write(Path("2.h5"), second)
    merge("1.h5", "2.h5", output="m.h5")
    return store.read("m.h5")


@pytest.mark.parametrize("holder", [0, 1])
def test_the_trajectory_of_any_part_is_kept(holder: int) -> None:
    given = [{"trajectory": _trajectory(1.0)} if i == holder else {} for i in range(2)]
    whole = _merged(_part(0, **given[0]), _part(1, **given[1]))
    assert whole.trajectory is not None
    np.testing.assert_array_equal(whole.trajectory.coordinates, [[0, 0], [1, 1]])


def test_two_equal_trajectories_are_one_and_two_others_are_refused() -> None:
    assert _merged(_part(0, trajectory=_trajectory(1.0)), _part(1, trajectory=_trajectory(1.0))).trajectory is not None
    with pytest.raises(MergeError, match="2.h5 and 1.h5 hold different trajectories; leave one out"):
        _merged(_part(0, trajectory=_trajectory(1.0)), _part(1, trajectory=_trajectory(2.0)))


def test_a_spectrum_that_both_parts_hold_is_there_once() -> None:
    whole = _merged(_part(0, spectra=(_spectrum(3),)), _part(1, spectra=(_spectrum(3),)))
    assert len(whole.spectra) == 1


@pytest.mark.parametrize("order", [(2, 5), (5, 2)])
def test_of_two_spectra_of_one_point_the_one_with_more_is_kept_with_the_fields_of_both(order: tuple[int, int]) -> None:
    traced = {"trace": 3.0, "trace_stderr": 0.5, "probes": 10}
    parts = [_spectrum(n, **(traced if n == 2 else {})) for n in order]
    (kept,) = _merged(_part(0, spectra=(parts[0],)), _part(1, spectra=(parts[1],))).spectra
    assert len(kept.eigenvalues) == 5
    assert (kept.trace, kept.trace_stderr, kept.probes) == (3.0, 0.5, 10)


def test_spectra_of_other_points_or_settings_are_all_kept() -> None:
    others = (_spectrum(3, place=(1.0, 0.0)), _spectrum(3, operator="ggn"), _spectrum(3, seed=1))
    assert len(_merged(_part(0, spectra=(_spectrum(3),)), _part(1, spectra=others)).spectra) == 4
