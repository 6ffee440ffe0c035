"""Baseline: the signatures themselves, of the request, the Python interface and the command line."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytest
import torch

import surfaceviz
from surfaceviz import cli, evaluate, options
from surfaceviz.cli import compare, edge, hessian, minima, sharpness, study, train, trajectory
from surfaceviz.cli import slice as slice_command
from surfaceviz.cli.options import slice_options
from surfaceviz.curvature import SpectrumSpec
from surfaceviz.directions.specs import LOSS_DIRECTIONS, FromLoss, Random
from surfaceviz.pipeline.compare.request import CompareRequest
from surfaceviz.pipeline.defaults import defaults_of
from surfaceviz.pipeline.edge.request import EdgeRequest
from surfaceviz.pipeline.hessian.request import RTOL, HessianRequest
from surfaceviz.pipeline.minima.request import MinimaRequest
from surfaceviz.pipeline.sharpness.request import SharpnessRequest
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.pipeline.study.request import StudyRequest
from surfaceviz.pipeline.train.request import TrainRequest
from surfaceviz.pipeline.trajectory.request import TrajectoryRequest

# What only one side has: the terminal's own, who works, a file named by default.
TERMINAL = {"context", "no_plot", "dry_run", "explain", "quiet", "debug", "workers"}
PYTHON = {"workers", "reporter"}
REQUEST = {"default_output"}
JOBS = [
    (Request.of, surfaceviz.slice, slice_command.slice, {"problem"}, set()),
    (HessianRequest.of, surfaceviz.hessian, hessian.hessian, {"target"}, {"grid", "cold"}),
    (TrajectoryRequest.of, surfaceviz.trajectory, trajectory.trajectory, {"checkpoints"}, set()),
    (SharpnessRequest.of, surfaceviz.sharpness, sharpness.sharpness, {"targets", "target"}, {"rescale_all"}),
    (MinimaRequest.of, surfaceviz.minima, minima.minima, {"surface"}, set()),
    (CompareRequest.of, surfaceviz.compare, compare.compare, {"targets"}, set()),
    (EdgeRequest.of, surfaceviz.edge, edge.edge, {"folder"}, set()),
    (StudyRequest.of, surfaceviz.study, study.study, {"name"}, set()),
    (TrainRequest.of, surfaceviz.train, train.train, {"network", "dataset"}, set()),
]


def _defaults(function: Callable[..., Any], without: set[str]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    return {name: p.default for name, p in parameters.items() if name not in without}


@pytest.mark.parametrize(("request_of", "python", "command", "subject", "not_in_python"), JOBS)
def test_command_python_and_request_have_the_same_options_and_defaults(
    request_of: Callable[..., Any],
    python: Callable[..., Any],
    command: Callable[..., Any],
    subject: set[str],
    not_in_python: set[str],
) -> None:
    stated = _defaults(request_of, REQUEST | subject)
    assert _defaults(command, TERMINAL | subject) == stated
    assert _defaults(python, PYTHON | subject) == {k: v for k, v in stated.items() if k not in not_in_python}
    assert subject & inspect.signature(command).parameters.keys()
    assert subject & inspect.signature(python).parameters.keys()


def test_an_option_added_to_one_side_only_is_noticed() -> None:
    def more(problem: str, *, seed: int = 0, extra: int = 1) -> None: ...

    assert _defaults(more, {"problem"}) != _defaults(defaults_of, set())
    assert vars(defaults_of(more)) == {"seed": 0, "extra": 1}


def test_specifications_have_the_defaults_of_their_requests() -> None:
    stated = defaults_of(Request.of)
    for spec in (Random(), FromLoss(kind="ascent")):
        for name in ("seed", "radius", "normalise", "ignore", "orthogonal", "regenerate"):
            assert getattr(spec, name, getattr(stated, name)) == getattr(stated, name)
    hessian_defaults, spectrum = vars(defaults_of(HessianRequest.of)) | {"rtol": RTOL}, SpectrumSpec()
    for name in (
        "top",
        "bottom",
        "density",
        "trace",
        "operator",
        "parameters",
        "normalised",
        "rtol",
        "probes",
        "steps",
    ):
        assert getattr(spectrum, name) == hessian_defaults[name]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("Normalise", options.NORMALISATIONS), ("Ignore", options.IGNORES), ("Bn", options.BN_MODES),
        ("Dtype", (*options.DTYPES, "auto")), ("Engine", ("auto", *options.ENGINES)),
    ],
)  # fmt: skip
def test_the_command_line_offers_the_words_that_requests_accept(option: str, words: tuple[str, ...]) -> None:
    hint = get_args(getattr(slice_options, option))[0]
    literal = next((arm for arm in get_args(hint) if get_args(arm)), hint)
    assert get_args(literal) == words


def test_every_dtype_has_one_of_torchs() -> None:
    assert set(options.DTYPES) == set(evaluate.DTYPES)
    assert all(isinstance(dtype, torch.dtype) for dtype in evaluate.DTYPES.values())


def test_every_kind_of_direction_from_the_loss_can_be_loaded() -> None:
    for kind in LOSS_DIRECTIONS.values():
        assert "minimum" in get_type_hints(kind.load())


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["slice", "--help"],
        ["hessian", "--help"],
        ["sharpness", "--help"],
        ["minima", "--help"],
        ["compare", "--help"],
        ["train", "--help"],
        ["study", "--help"],
        ["trajectory", "--help"],
        ["edge", "--help"],
        ["catalogue", "--help"],
    ],
)
def test_help_needs_neither_torch_nor_numpy(command: list[str]) -> None:
    code = (
        "import sys; from surfaceviz import cli\n"
        f"code = cli.run({command!r})\n"
        "assert not {'torch', 'numpy', 'h5py', 'matplotlib', 'pyvista'} & set(sys.modules), 'heavy imports'\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout


def test_help_groups_options_under_headings() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "surfaceviz", "slice", "--help"], capture_output=True, text=True, check=True
    )
    headings = [line for line in done.stdout.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments:", "Directions:", "Grid:", "Data:", "Compute:", "Output:", "Options:"]


def test_a_command_imports_its_own_module_only() -> None:
    """The module of each command takes milliseconds, so that `surfaceviz info` needs no other."""
    script = "import sys; from surfaceviz import cli; cli.run(['info', 'missing.h5']); print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "surfaceviz: missing.h5: no such file\n"
    modules = set(map(cli.module_of, cli.COMMANDS))
    assert modules & {*done.stdout.split()} == {"surfaceviz.cli.files.info"}


def test_all_commands_are_known_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    listed = re.findall(r"^  ([a-z]+)  ", capsys.readouterr().out.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(cli.COMMANDS)
