"""Slices for tests of reports: of every kind that a page shows, with values known in closed form."""

from __future__ import annotations

import numpy as np

from surfaceviz.records import (
    Density,
    DirectionRecord,
    FloatArray,
    HessianMap,
    Mark,
    Slice,
    Spectrum,
    Trajectory,
)

RANDOM = DirectionRecord(kind="random", sha256="00", rule={}, seed=0, normalise="filter", ignore="biasbn")


def bowl(shape: tuple[int, ...] = (9, 5), *, scale: float = 1.0, title: str = "net", rich: bool = False) -> Slice:
    """Return 0.1 + scale (alpha^2 + 10 beta^2) on alpha -1 .. 1, beta -1 .. 2, with test values and errors.

    Args:
        shape: of the grid.
        scale: of the loss.
        title: of the problem.
        rich: with a mark, spectra of two points, a Hessian map and a trajectory.
    """
    axes = tuple(np.linspace(-1, k + 1, n) for k, n in enumerate(shape))
    mesh = np.meshgrid(*axes, indexing="ij")
    z = np.asarray(0.1 + scale * sum((10.0 if k else 1.0) * x**2 for k, x in enumerate(mesh)))
    values = {"train_loss": z, "train_accuracy": np.exp(-z), "test_loss": z + 0.25, "test_accuracy": 0.9 * np.exp(-z)}
    centre = {"train_loss": 0.1, "train_accuracy": float(np.exp(-0.1)), "test_loss": 0.35}
    return Slice(
        axes=axes,
        values=values,
        origin=np.ones(shape, np.uint8),
        centre=centre,
        directions=(RANDOM,) * len(shape),
        stderr={name: 0.01 * array for name, array in values.items()},
        rise_stderr={name: 0.02 * array for name, array in values.items()},
        provenance={"problem": title, "splits": "train,test", "command": "surfaceviz slice net"},
        marks=(Mark("other.pt", (0.5,) * len(shape), {"train_loss": 2.0}),) if rich else (),
        spectra=spectra(len(shape), scale) if rich else (),
        hessian_map=hessian_map() if rich and len(shape) > 1 else None,
        trajectory=trajectory(len(shape)) if rich else None,
    )


def spectra(ndim: int, scale: float) -> tuple[Spectrum, ...]:
    """Return the spectra at theta, with a density, and at alpha = 0.5, with eigenvalues alone."""
    generator = np.random.default_rng(0)
    density = Density(np.sort(generator.normal(0, 2, (3, 20))), np.full((3, 20), 1 / 20))
    along = scale * np.diag([2.0, 20.0])[:ndim, :ndim]
    return (
        _spectrum((0.0,) * ndim, np.array([-1.5, 3.0, 20.0]), along, density, trace=22.0),
        _spectrum((0.5,) + (0.0,) * (ndim - 1), np.array([-0.5, 4.0, 30.0]), along, None, trace=None),
    )


def _spectrum(
    place: tuple[float, ...], eigenvalues: FloatArray, along: FloatArray, density: Density | None, trace: float | None
) -> Spectrum:
    return Spectrum(
        eigenvalues=eigenvalues,
        residuals=np.full(3, 1e-5),
        converged=np.array([True, False, True]),
        place=place,
        dimension=1000,
        bottom=1,
        norm=20.0,
        loss=0.1,
        gradient_norm=0.125,
        kind="not a critical point",
        reason="the gradient is larger than its tolerance",
        trace=trace,
        trace_stderr=None if trace is None else 0.5,
        probes=3,
        samples=64,
        density=density,
        along=along,
    )


def hessian_map() -> HessianMap:
    """Return a 3 x 2 map whose lambda_max is 1 .. 6, of both signs in lambda_min, one point missing."""
    top = np.arange(1.0, 7.0).reshape(3, 2)
    origin = np.ones((3, 2), np.uint8)
    origin[2, 1], top[2, 1] = 0, np.nan
    axes = (np.array([-1.0, 0, 1]), np.array([-1.0, 2.0]))
    return HessianMap(
        axes=axes,
        lambda_max=top,
        lambda_min=2 - top,
        residual_max=0 * top,
        residual_min=0 * top,
        gradient_norm=top / 10,
        products=np.ones((3, 2), np.int64),
        origin=origin,
    )


def trajectory(ndim: int) -> Trajectory:
    """Return four iterates that come from alpha = -0.75 to theta."""
    path = np.zeros((4, ndim))
    path[:, 0] = [-0.75, -0.5, -0.25, 0]
    return Trajectory(
        coordinates=path,
        step=np.arange(4.0) * 100,
        distance=np.array([3.0, 2.0, 1.0, 0.0]),
        values={"train_loss": np.array([9.0, 5.0, 2.0, 0.1])},
    )
