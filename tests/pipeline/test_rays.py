"""Baselines: plain curves of the rays' seeds, bit for bit; noise, seeds and losses of linear regression in numpy."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor

import surfaceviz
from surfaceviz import store
from surfaceviz.errors import MergeError, ProblemError, StoreError
from surfaceviz.pipeline.slice import slice_buffer, workers
from surfaceviz.pipeline.slice.chunks import chunks
from surfaceviz.pipeline.slice.run import SliceResult
from surfaceviz.pipeline.slice.summary import closing_lines
from surfaceviz.problem.problem import Problem
from surfaceviz.records import EVALUATED, Slice, one_ray

AXIS: Any = [(-1, 1, 5)]
EAGER: Any = {"engine": "eager", "batch_size": 128}


def _hash(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "little")


def _seeds(seed: int, count: int) -> list[int]:
    return [seed, *(_hash(f"{seed}\0ray\0{k}", 6) for k in range(1, count))]


def _direction(weight: oracles.Array, seed: int) -> oracles.Array:
    """Return filter-normalised noise of a linear layer's weight, by the formula."""
    generator = np.random.Generator(np.random.Philox(key=_hash(f"{seed}\0{0}\0weight", 16)))
    d = generator.standard_normal(weight.shape, dtype=np.float32).astype(np.float64)
    lengths = np.linalg.norm(d, axis=1, keepdims=True) + 1e-10
    return np.asarray(d * np.linalg.norm(weight, axis=1, keepdims=True) / lengths)


def _assert_is_curve(rays: Slice, number: int, curve: Slice) -> None:
    assert curve.values.keys() == rays.values.keys()
    for kind in ("values", "stderr", "rise_stderr"):
        for name, array in getattr(curve, kind).items():
            np.testing.assert_array_equal(getattr(rays, kind)[name][number], array)


def _assert_equal_bits(a: Slice, b: Slice) -> None:
    assert a.seeds == b.seeds
    np.testing.assert_array_equal(a.origin, b.origin)
    for number in range(len(a.seeds)):
        _assert_is_curve(a, number, one_ray(b, number))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_losses_are_those_of_a_loop_over_the_seeds_in_float64(workers: int) -> None:
    model, x, y = oracles.regression()
    surface = oracles.run_slice(Problem(model, (x, y), "mse"), [(-1, 2, 4)], seed=3, repeat=3, workers=workers)
    assert surface.seeds == tuple(_seeds(3, 3))
    weight, bias = model.weight.detach().numpy(), model.bias.detach().numpy()
    expected = [
        [np.mean((x.numpy() @ (weight + alpha * delta).T + bias - y.numpy()) ** 2) for alpha in (-1.0, 0.0, 1.0, 2.0)]
        for delta in (_direction(weight, seed) for seed in _seeds(3, 3))
    ]
    np.testing.assert_allclose(surface.values["train_loss"], expected, rtol=1e-10)
    assert surface.directions[0].norm == pytest.approx(np.linalg.norm(weight), rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"bn": "recalibrate"}, {"normalise": "layer"}], ids=str)
def test_each_ray_is_the_curve_of_its_seed(options: dict[str, Any]) -> None:
    rays = oracles.run_slice(oracles.net_problem(), AXIS, repeat=3, **options, **EAGER)
    assert rays.complete
    for number, seed in enumerate(rays.seeds):
        curve = oracles.run_slice(oracles.net_problem(), AXIS, seed=seed, **options, **EAGER)
        _assert_is_curve(rays, number, curve)


def test_the_chunks_of_rays_are_those_of_curves_one_after_another() -> None:
    axis, order, missing = np.linspace(-1, 1, 7), np.array([0, 3, 6, 1, 2, 4, 5]), np.zeros((3, 7), np.uint8)
    missing[0, :3] = EVALUATED
    for group in (1, 2, 4):
        rays = chunks([axis], np.concatenate([order, order + 7, order + 14]), missing, 2, group=group)
        curves = [(ray, each) for ray in range(3) for each in chunks([axis], order, missing[ray], 2, group=group)]
        assert [(each.ray, each.coordinates) for each in rays] == [(ray, each.coordinates) for ray, each in curves]
        assert [each.indices for each in rays] == [tuple(7 * ray + i for i in each.indices) for ray, each in curves]


@pytest.mark.long
def test_points_that_are_evaluated_at_once_are_those_of_one_ray() -> None:
    """A vectorised engine takes groups of 256, more than a ray has."""
    engine: Any = {"engine": "vmapped", "batch_size": 32}
    rays = oracles.run_slice(oracles.net_problem(), AXIS, repeat=2, **engine)
    for number, seed in enumerate(rays.seeds):
        _assert_is_curve(rays, number, oracles.run_slice(oracles.net_problem(), AXIS, seed=seed, **engine))


def test_more_rays_are_added_to_those_of_a_file() -> None:
    few = oracles.run_slice(oracles.net_problem(), AXIS, repeat=2, output="a.h5", **EAGER)
    recorder = oracles.Recorder()
    grown = oracles.run_slice(oracles.net_problem(), AXIS, repeat=4, output="a.h5", reporter=recorder, **EAGER)
    assert recorder.progress[0] == (10, 20, 0)
    assert recorder.progress[-1] == (20, 20, 10)
    assert few.seeds == grown.seeds[:2]
    _assert_equal_bits(grown, oracles.run_slice(oracles.net_problem(), AXIS, repeat=4, **EAGER))
    _assert_equal_bits(grown, store.read("a.h5"))


@pytest.mark.parametrize(("before", "now"), [(3, 2), (3, 1), (1, 3)])
def test_a_file_of_more_rays_or_of_a_curve_is_kept(before: int, now: int) -> None:
    oracles.run_slice(oracles.net_problem(), AXIS, repeat=before, output="a.h5", **EAGER)
    with pytest.raises(StoreError, match=rf"repeat is {before} there, {now} here\) and is kept"):
        oracles.run_slice(oracles.net_problem(), AXIS, repeat=now, output="a.h5", **EAGER)
    assert len(store.read("a.h5").seeds) == (before if before > 1 else 0)


@pytest.mark.slow
def test_killed_within_a_ray_a_run_goes_on_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at the 8th point of 15, with a snapshot after each."""
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SHARE", 1.0)
    monkeypatch.setattr(workers, "CHUNK_SECONDS", 0.0)

    def problem(last: int) -> Problem:
        passes = iter(range(1, 100))

        def measure(model: torch.nn.Module, batch: Any) -> dict[str, surfaceviz.PerSample]:
            if Path("a.h5").exists() and next(passes) == last:
                os.kill(os.getpid(), signal.SIGKILL)
            each = torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")
            return {"loss": surfaceviz.PerSample(each, each.new_ones(len(each)))}

        return Problem(oracles.net().double(), oracles.images(10), measure=measure, name="net")

    child = os.fork()
    if not child:
        torch.set_num_threads(1)
        oracles.run_slice(problem(8), AXIS, repeat=3, output="a.h5", **EAGER)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    kept = store.read("a.h5")
    assert np.count_nonzero(kept.origin, axis=1).tolist() == [5, 2, 0]
    resumed = oracles.run_slice(problem(0), AXIS, repeat=3, output="a.h5", **EAGER)
    _assert_equal_bits(resumed, oracles.run_slice(problem(0), AXIS, repeat=3, **EAGER))


def test_parts_of_rays_are_merged() -> None:
    for part in ("1/2", "2/2"):
        oracles.run_slice(oracles.net_problem(), AXIS, repeat=3, shard=part, output=f"{part[0]}.h5", **EAGER)
    whole = surfaceviz.merge("1.h5", "2.h5", output="whole.h5")
    _assert_equal_bits(whole, oracles.run_slice(oracles.net_problem(), AXIS, repeat=3, **EAGER))
    oracles.run_slice(oracles.net_problem(), AXIS, repeat=2, shard="2/2", output="few.h5", **EAGER)
    with pytest.raises(MergeError, match="repeat is 2 there, 3 in 1.h5"):
        surfaceviz.merge("1.h5", "few.h5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeat": 0}, "repeat: got 0; expected a number of rays from 1 to 10000"),
        ({"axes": AXIS * 2}, "got repeat 3 and 2 axes; rays have one. Give one axis, or leave out repeat"),
        ({"orthogonal": True}, "got repeat and orthogonal; rays are independent directions. Leave out orthogonal"),
        ({"regenerate": True}, "got repeat and regenerate; rays hold one direction at a time anyway"),
        ({"tol": 0.1}, "got repeat and tol; each ray would need an audit of its own, of some 45 points"),
        ({"along": "ascent"}, "got repeat; directions along the loss have no such option. Leave out repeat"),
    ],
    ids=str,
)
def test_what_rays_do_not_have_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        oracles.run_slice("net", **{"repeat": 3, **options})


def test_the_default_axis_is_one_of_those_of_the_plane() -> None:
    for reach in ({}, {"reach": 1.0}):
        surface = oracles.run_slice(oracles.net_problem(), repeat=2, splits="test", **reach, **EAGER)
        assert surface.shape == (2, 25)
        assert (surface.axes[0][0], surface.axes[0][-1]) == (-1, 1)


def _theta() -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in oracles.net().named_parameters()}


def test_weights_and_directions_are_those_of_a_ray() -> None:
    problem = oracles.net_problem()
    rays = oracles.run_slice(problem, AXIS, repeat=3, output="a.h5", **EAGER)
    directions = surfaceviz.directions_of(rays, problem=problem)
    assert len(directions) == 3
    for number, seed in enumerate(rays.seeds):
        alone = oracles.run_slice(oracles.net_problem(), AXIS, seed=seed, **EAGER)
        (own,) = surfaceviz.directions_of(alone, problem=oracles.net_problem())
        assert all(torch.equal(own[name], directions[number][name]) for name in own)
        moved = surfaceviz.weights_at(rays, number, 4, problem=problem)
        for name, w in _theta().items():
            torch.testing.assert_close(moved[name], w + own[name] if name in own else w, rtol=0, atol=0)
    with pytest.raises(ProblemError, match=re.escape("point (3, 0) is not on a grid of 3 x 5 points")):
        surfaceviz.weights_at(rays, 3, 0, problem=problem)


@pytest.mark.slow
def test_the_spectrum_at_theta_is_that_of_a_curve_and_other_points_are_refused() -> None:
    problem = oracles.net_problem()
    for name, repeat in (("rays.h5", 3), ("curve.h5", 1)):
        oracles.run_slice(oracles.net_problem(), AXIS, repeat=repeat, output=name, **EAGER)
    options: Any = {"problem": problem, "top": 2, "workers": 1, "reporter": oracles.Recorder()}
    of_rays, of_curve = (surfaceviz.hessian(name, **options) for name in ("rays.h5", "curve.h5"))
    np.testing.assert_array_equal(of_rays.eigenvalues, of_curve.eigenvalues)
    assert of_rays.along is None
    kept = store.read("rays.h5")
    assert (kept.shape, len(kept.spectra)) == ((3, 5), 1)
    with pytest.raises(ProblemError, match=re.escape("point (0.5) is another one on each of 3 rays; give --at 0")):
        surfaceviz.hessian("rays.h5", [0.5], **options)
    with pytest.raises(ProblemError, match="got a map and 3 rays; a map lies on one curve or surface"):
        surfaceviz.hessian_map("rays.h5", (3,), problem=problem)


def test_the_closing_line_names_an_axis_at_a_tenth_of_the_distances() -> None:
    model, x, y = oracles.regression()
    rays = oracles.run_slice(Problem(model, (x, y), "mse"), [(-1, 2, 4)], repeat=2, output="a.h5")
    rows = dict(closing_lines(SliceResult(surface=rays, path=Path("a.h5"), fresh=8), None))
    norm = float(torch.linalg.vector_norm(model.weight.detach()))
    assert rows["worst"].endswith(f"--along ascent --axis {-0.1 * norm:.4g}:{0.2 * norm:.4g}:4")
    assert "2 rays x 4 points, 8 of them now" in rows["range"]
