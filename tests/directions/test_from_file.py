"""Baseline: the random slice whose directions were written, bit for bit; L0 + g.s + s'Hs/2; files written by h5py."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import launchers
import numpy as np
import oracles
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.errors import DirectionError, SchemaError, StoreError
from surfaceviz.pipeline.slice import workers
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice

Arrays = Sequence[NDArray[Any]]
EAGER: Any = {"engine": "eager", "batch_size": 16}
AXES: Any = [(-1, 1, 5), (0, 1, 3)]


def _write(name: str, *directions: Arrays) -> str:
    """Write a file as the reference code does: a group a direction, a data set a tensor, numbered."""
    with h5py.File(name, "w") as file:
        for group, arrays in zip(("xdirection", "ydirection"), directions, strict=False):
            for i, array in enumerate(arrays):
                file[f"{group}/{i}"] = array
    return name


def _noise(model: nn.Module, seed: int = 0) -> list[NDArray[Any]]:
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(tuple(p.shape)) * 0.1 for p in model.parameters()]


def _assert_equal_bits(a: Slice, b: Slice) -> None:
    assert a.complete
    for name, array in b.values.items():
        np.testing.assert_array_equal(a.values[name], array)
        np.testing.assert_array_equal(a.stderr[name], b.stderr[name])
        np.testing.assert_array_equal(a.rise_stderr[name], b.rise_stderr[name])
    assert a.centre == b.centre


def _exported(axes: Any = AXES, **options: Any) -> tuple[Slice, str]:
    """Return a random slice, and the file that its directions were written to."""
    surface = oracles.run_slice(oracles.net_problem(), axes, output="random.h5", **{**EAGER, **options})
    files = surfaceviz.export("random.h5", "r.h5")
    assert [path.name for path in files] == ["r.h5", "r-directions.h5"]
    return surface, "r-directions.h5"


@pytest.mark.parametrize("axes", [[(-1, 1, 5)], [(-1, 1, 4), (-1, 1, 4)], AXES])
@pytest.mark.parametrize("options", [{}, {"ignore": "none"}, {"seed": 3, "normalise": "layer"}, {"dtype": "float64"}])
def test_a_slice_along_written_directions_has_the_bits_of_the_random_one(axes: Any, options: dict[str, Any]) -> None:
    surface, file = _exported(axes, **options)
    dtype = {key: value for key, value in options.items() if key == "dtype"}
    along = oracles.run_slice(oracles.net_problem(), axes, directions=file, **EAGER, **dtype)
    _assert_equal_bits(along, surface)
    assert [d.sha256 for d in along.directions] == [d.sha256 for d in surface.directions]
    assert {(d.kind, d.source, d.seed) for d in along.directions} == {("file", file, None)}
    assert along.directions[0].rule["conv.weight"] == "as in the file"
    assert along.directions[0].rule["conv.bias"] == ("as in the file" if "ignore" in options else "stays")


@pytest.mark.parametrize("axes", [[(-1, 2, 4)], [(-1, 1, 3), (0, 2, 5)]])
@pytest.mark.parametrize("count", [1, 2])
def test_a_slice_of_linear_regression_is_its_quadratic(axes: Any, count: int) -> None:
    """The weight comes first in ``parameters()``, the bias in names: the file is in the order of parameters."""
    model, x, y = oracles.regression()
    quadratic = oracles.Quadratic(model, x, y)
    made = [[np.random.default_rng(k).standard_normal(tuple(p.shape)) for p in model.parameters()] for k in range(2)]
    steps = [
        quadratic.flat({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}) for weight, bias in made
    ]
    surface = oracles.run_slice(
        Problem(model, (x, y), "mse"), axes, directions=_write("d.h5", *made), workers=count, batch_size=10
    )
    for index in np.ndindex(surface.shape):
        step = sum((axis[i] * d for axis, i, d in zip(surface.axes, index, steps, strict=False)), np.zeros(1))
        assert surface.values["train_loss"][index] == pytest.approx(quadratic.at(np.asarray(step)), rel=1e-12)


def test_statistics_stay_still_in_a_file_of_the_whole_state() -> None:
    model = oracles.net()
    state = [np.full(tuple(v.shape), 0.01) for v in model.state_dict().values()]
    named = dict(zip(model.state_dict(), state, strict=True))
    recorder = oracles.Recorder()
    options: Any = {"axes": [(-1, 1, 3)], **EAGER}
    whole = oracles.run_slice(
        Problem(model, oracles.images(), "cross_entropy"),
        directions=_write("s.h5", state),
        reporter=recorder,
        **options,
    )
    alone = _write("p.h5", [named[name] for name, _ in model.named_parameters()])
    parameters = oracles.run_slice(Problem(model, oracles.images(), "cross_entropy"), directions=alone, **options)
    _assert_equal_bits(whole, parameters)
    line = "s.h5: 3 buffers stay fixed (bn.num_batches_tracked, bn.running_mean, bn.running_var)"
    assert line in recorder.said
    assert "bn.running_var" not in whole.directions[0].rule
    state[[*named].index("bn.running_var")] *= 100
    other = oracles.run_slice(
        Problem(model, oracles.images(), "cross_entropy"), directions=_write("s.h5", state), **options
    )
    _assert_equal_bits(other, whole)


def test_a_line_to_a_model_is_written_with_its_buffers_and_read_whole_from_the_slice() -> None:
    a, b, data = oracles.net(0), oracles.net(1), oracles.images()
    save_file(b.state_dict(), "b.safetensors")
    problem = Problem(a, data, "cross_entropy")
    line = oracles.run_slice(problem, [(0, 1, 3)], toward="b.safetensors", output="line.h5", **EAGER)
    surfaceviz.export("line.h5", "r.h5")
    with h5py.File("r-directions.h5") as file:
        for i, (name, there) in enumerate(b.state_dict().items()):
            expected = there.double() - a.state_dict()[name].double()
            if there.is_floating_point():
                np.testing.assert_allclose(file[f"xdirection/{i}"][()], expected, rtol=1e-6, atol=1e-12)
    again = oracles.run_slice(problem, [(0, 1, 3)], directions="line.h5", dtype="float64", **EAGER)
    for name, array in line.values.items():
        np.testing.assert_allclose(again.values[name], array, rtol=1e-5)
    assert again.directions[0].rule["bn.running_var"] == "as in the file"


def test_tied_weights_are_written_once_and_read_once_or_twice() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.z = nn.Linear(4, 4, bias=False)
            self.a = nn.Linear(4, 4, bias=False)
            self.a.weight = self.z.weight

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.a(torch.tanh(self.z(x)))
            return y

    torch.manual_seed(0)
    problem = Problem(Tied(), (torch.randn(9, 4), torch.randn(9, 4)), "mse", name="tied")
    surface = oracles.run_slice(problem, [(-1, 1, 3)], output="random.h5", **EAGER)
    surfaceviz.export("random.h5", "r.h5")
    with h5py.File("r-directions.h5") as file:
        assert list(file["xdirection"]) == ["0"]
        once = file["xdirection/0"][:]
    _assert_equal_bits(oracles.run_slice(problem, [(-1, 1, 3)], directions="r-directions.h5", **EAGER), surface)
    twice = _write("twice.h5", [once, once])  # as a state dict has it
    _assert_equal_bits(oracles.run_slice(problem, [(-1, 1, 3)], directions=twice, **EAGER), surface)
    with pytest.raises(
        DirectionError, match="tensor 1 is of a.weight, which is tied, and differs from an earlier copy"
    ):
        oracles.run_slice(problem, [(-1, 1, 3)], directions=_write("twice.h5", [once, 2 * once]), **EAGER)


def test_one_direction_makes_a_curve_and_two_a_surface() -> None:
    model = oracles.net()
    one, two = _write("one.h5", _noise(model)), _write("two.h5", _noise(model), _noise(model, 1))
    assert oracles.run_slice(oracles.net_problem(), directions=one, **EAGER).shape == (25,)
    assert oracles.run_slice(oracles.net_problem(), directions=two, splits="test", **EAGER).shape == (25, 25)
    curves = [oracles.run_slice(oracles.net_problem(), [(-1, 1, 3)], directions=file, **EAGER) for file in (one, two)]
    _assert_equal_bits(curves[0], curves[1])
    with pytest.raises(DirectionError, match="one.h5 has 1 direction, but 2 axes are given; give one --axis"):
        oracles.run_slice(oracles.net_problem(), AXES, directions=one)


def test_the_directions_of_a_slice_are_taken_from_its_file() -> None:
    surface = oracles.run_slice(oracles.net_problem(), AXES, output="random.h5", seed=5, orthogonal=True, **EAGER)
    along = oracles.run_slice(oracles.net_problem(), AXES, directions="random.h5", **EAGER)
    _assert_equal_bits(along, surface)
    oracles.run_slice(oracles.net_problem(), [(-1, 1, 3)], output="anew.h5", regenerate=True, **EAGER)
    with pytest.raises(DirectionError, match="anew.h5 stores no directions .they were over 64 MB, regenerated, "):
        oracles.run_slice(oracles.net_problem(), directions="anew.h5")
    model, x, y = oracles.regression()
    with pytest.raises(DirectionError, match="random.h5: conv.weight, of shape .4, 1, 3, 3., is not in the model"):
        oracles.run_slice(Problem(model, (x, y), "mse"), directions="random.h5")


def test_a_file_of_another_network_is_told_by_its_first_tensor() -> None:
    arrays = _noise(oracles.net())
    problem = oracles.net_problem()

    def refused(arrays: Arrays, message: str) -> None:
        with pytest.raises(DirectionError, match=message):
            oracles.run_slice(problem, [(-1, 1, 3)], directions=_write("d.h5", arrays))

    wrong = [*arrays]
    wrong[4] = np.zeros((3, 99))
    refused(wrong, r"tensor 4 of xdirection has shape \(3, 99\), fc.weight \(3, 144\) in the model, by the order of p")
    refused(arrays[:3], "xdirection has 3 tensors, the model 6 parameters and 9 entries in its state_dict..; the file")
    refused([*arrays[:5], np.full(3, np.nan)], "d.h5: xdirection holds NaN or inf for fc.bias")
    refused([0 * array for array in arrays], "d.h5: xdirection is 0 in all tensors that may move; give another file")
    turned = [arrays[1], arrays[0], *arrays[2:]]
    refused(turned, r"tensor 0 of xdirection has shape \(4,\), conv.weight \(4, 1, 3, 3\) in the model")
    with pytest.raises(SchemaError, match="nowhere.h5: no such file"):
        oracles.run_slice(problem, directions="nowhere.h5")
    Path("text.h5").write_text("0.1")
    with pytest.raises(SchemaError, match="text.h5: no whole HDF5 file"):
        oracles.run_slice(problem, directions="text.h5")


def test_a_run_goes_on_along_the_same_directions_alone() -> None:
    model = oracles.net()
    file = _write("d.h5", _noise(model))
    first = oracles.run_slice(oracles.net_problem(), [(-1, 1, 5)], directions=file, output="a.h5", **EAGER)
    os.rename(file, "moved.h5")  # noqa: PTH104
    recorder = oracles.Recorder()
    again = oracles.run_slice(
        oracles.net_problem(), [(-1, 1, 5)], directions="moved.h5", output="a.h5", reporter=recorder, **EAGER
    )
    _assert_equal_bits(again, first)
    assert any("complete already" in line for line in recorder.said)
    before = Path("a.h5").read_bytes()
    _write("d.h5", [array * (1 + 1e-7) for array in _noise(model)])  # within rounding, and another all the same
    for options in ({"directions": "d.h5"}, {}):
        with pytest.raises(StoreError, match="a.h5 holds another run .*and is kept"):
            oracles.run_slice(oracles.net_problem(), [(-1, 1, 5)], output="a.h5", **options, **EAGER)
    assert Path("a.h5").read_bytes() == before


@pytest.mark.parametrize("fork", [True, False])
def test_worker_processes_go_along_the_file_as_well(
    fork: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "can_fork", lambda: fork)
    oracles.write_factory(tmp_path)
    surface, file = _exported([(-1, 1, 9)])
    along = oracles.run_slice("mine.py:problem", [(-1, 1, 9)], directions=file, workers=2, **EAGER)
    _assert_equal_bits(along, surface)
    assert len(eval(str(along.provenance["worker_points"]))) == 2  # noqa: S307  its own JSON


@pytest.mark.slow
def test_parts_and_ranks_go_along_the_file_as_well(tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    surface, file = _exported([(-1, 1, 9)])
    for number in (1, 2):
        oracles.run_slice(
            oracles.net_problem(), [(-1, 1, 9)], directions=file, shard=f"{number}/2", output=f"{number}.h5", **EAGER
        )
    _assert_equal_bits(surfaceviz.merge("1.h5", "2.h5"), surface)
    command = ["-m", "surfaceviz", "slice", "mine.py:problem", "--axis=-1:1:9", "--engine=eager", "--batch=16"]
    command += ["--directions", file, "-o", "mpi.h5", "--no-plot"]
    code, _, errors = launchers.finish(launchers.start("openmpi", 2, command))
    assert code == 0, errors
    _assert_equal_bits(store.read("mpi.h5"), surface)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--toward=b.pt"], "got toward and directions; each determines the directions"),
        (["--along=gradient"], "got along and directions; each determines the directions"),
        (["--seed=1"], "got seed; directions from a file have no such option. Leave out seed"),
        (["--normalise=layer"], "got normalise; directions from a file have no such option"),
        (["--ignore=none"], "got ignore; directions from a file have no such option"),
        (["--orthogonal"], "got orthogonal; directions from a file have no such option"),
        (["--regenerate"], "got regenerate; directions from a file have no such option"),
        (["--only=fc", "--freeze=fc"], "got freeze, only; directions from a file have no such option"),
    ],
)  # fmt: skip
def test_contradictions_are_refused_in_a_line(
    more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["slice", "mine.py:problem", "--directions=d.h5", *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"surfaceviz: {message}")


def test_curvature_goes_by_the_directions_that_the_slice_keeps(tmp_path: Path) -> None:
    model, x, y = oracles.regression()
    made = [_noise(model, k) for k in range(2)]
    problem = Problem(model, (x, y), "mse")
    oracles.run_slice(problem, [(-1, 1, 3), (-1, 1, 3)], directions=_write("d.h5", *made), output="a.h5", **EAGER)
    Path("d.h5").unlink()
    spectrum = surfaceviz.hessian("a.h5", problem=problem)
    quadratic = oracles.Quadratic(model, x, y)
    steps = np.array([
        quadratic.flat({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}) for weight, bias in made
    ])  # fmt: skip
    assert spectrum.along is not None
    np.testing.assert_allclose(spectrum.along, steps @ quadratic.hessian @ steps.T, rtol=1e-9)


def test_the_command_says_where_its_directions_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracles.write_factory(tmp_path)
    file = _write("a long name of $a $file that fills an axis.h5", _noise(oracles.net()), _noise(oracles.net(), 1))
    options = ["--axis=-1:1:3", "--axis=-1:1:3", "--engine=eager", "--workers=1", "--directions", file, "-o", "a.h5"]
    assert cli.run(["slice", "mine.py:problem", *options]) == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert cli.run(["info", "a.h5"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"direction alpha file, {file}, sha256 " in told
    assert "conv.weight: as in the file" in told
    ax = surfaceviz.plot("a.h5").axes[0]
    assert ax.get_xlabel() == "$\\alpha$  (direction of a long name of\N{HORIZONTAL ELLIPSIS}lls an axis.h5)"
