"""Baseline: the exit codes and lines that the documentation promises; the Python interface for values."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import oracles
import pytest
import torch
from safetensors.torch import save_file

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.directions.axes import Axis
from surfaceviz.pipeline.slice import workers
from surfaceviz.pipeline.slice.request import Request

SMALL = ("--axis=-1:1:5", "--axis=0:1:3", "--workers=1")

EXTRA = """
def broken():
    raise RuntimeError("no data here")

def number():
    return 3

def empty():
    x, y = oracles.images()
    return surfaceviz.Problem(oracles.net(), {"train": (x, y), "test": (x[:0], y[:0])}, "cross_entropy")

def unseeded():
    import torch
    x, y = oracles.images()
    return surfaceviz.Problem(torch.nn.Linear(6, 3), (x[:, 0, 0], y), "cross_entropy")

class Raising(torch.utils.data.Dataset):
    def __len__(self):
        return 3
    def __getitem__(self, i):
        raise OSError("disk gone")

def raising():
    return surfaceviz.Problem(oracles.net(), Raising(), "cross_entropy")

def diverging():
    import surfaceviz
    def measure(model, batch):
        off = (next(model.parameters()) - next(oracles.net().parameters())).abs().sum()
        return {"loss": (1.0 if off == 0 else float("nan"), 1.0)}
    return surfaceviz.Problem(oracles.net(), oracles.images(), measure=measure)

def with_data(data=None):
    problem = oracles.net_problem()
    problem.name = f"from-{data}"
    return problem
"""


@pytest.fixture(autouse=True)
def _factory(tmp_path: Path) -> None:
    oracles.write_factory(tmp_path, EXTRA)


def _slice(*arguments: str) -> int:
    return cli.run(["slice", *arguments])


def test_slice_writes_file_and_picture_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert _slice("mine.py:problem", *SMALL) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("centre, train: loss ")
    labels = [line.split()[0] for line in lines[-6:]]
    assert labels == ["file", "picture", "centre", "centre", "range", "cosine"]
    assert Path("net.h5").exists()
    assert Path("net.png").read_bytes().startswith(b"\x89PNG")
    assert "alpha -1 .. 1, beta 0 .. 1; 5 x 3 points, 15 of them now" in lines[-2]
    expected = oracles.run_slice(oracles.net_problem(), [(-1, 1, 5), (0, 1, 3)])
    stored = store.read("net.h5")
    for name, array in expected.values.items():
        np.testing.assert_array_equal(stored.values[name], array)


def test_a_finished_file_is_said_to_be_and_another_run_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert _slice("mine.py:problem", *SMALL, "--no-plot") == 0
    assert not Path("net.png").exists()
    assert _slice("mine.py:problem", *SMALL) == 0
    assert "net.h5 is complete already: all 15 points; nothing to do" in capsys.readouterr().out
    assert _slice("mine.py:problem", *SMALL, "--seed=3") == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith("surfaceviz: net.h5 holds another run (seed is 0 there, 3 here) and is kept")
    assert "give -o net-2.h5" in errors[-1]


def test_info_and_plot_show_what_a_file_holds(capsys: pytest.CaptureFixture[str]) -> None:
    _slice("mine.py:problem", *SMALL, "--no-plot", "--quiet")
    _slice("mine.py:problem", "--axis=-1:1:9", "-o", "line.h5", "--no-plot", "--quiet")
    capsys.readouterr()
    assert cli.run(["info", "net.h5"]) == 0
    out = capsys.readouterr().out
    for text in (
        "5 x 3 points",
        "seed ",
        "weights sha256",
        "conv.weight: Conv2d: axis 0; filter",
        "bn.bias: BatchNorm2d: bias; set to 0",
    ):
        assert text in out
    assert cli.run(["plot", "net.h5", "net.h5", "--kind=lines", "-o", "both.svg"]) == 0
    assert cli.run(["plot", "line.h5", "--levels=linear"]) == 0
    assert "picture: line.png" in capsys.readouterr().out
    assert cli.run(["plot", "line.h5", "-o", "line.jpg"]) == 2
    assert "surfaceviz: line.jpg: pictures are written as png, svg, pdf" in capsys.readouterr().err


def test_dry_run_estimates_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = set(Path().iterdir())
    assert _slice("mine.py:problem", *SMALL, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "5 x 3 = 15, each of 50 train + 17 test samples" in out
    assert " s a point; about " in out
    for name in oracles.net().state_dict():
        if not name.startswith("bn.running") and not name.endswith("tracked"):
            assert f"{name} (" in out
    assert {p for p in Path().iterdir() if p.name != "__pycache__"} == before


def test_quiet_says_nothing_but_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert _slice("mine.py:problem", *SMALL, "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert all(line.startswith("warning: ") for line in captured.err.splitlines())


@pytest.mark.parametrize("fork", [True, False])
def test_two_workers_give_the_bits_of_one(fork: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "can_fork", lambda: fork)
    assert _slice("mine.py:problem", "--axis=-1:1:9", "--axis=0:1:4", "--workers=1", "-o", "one.h5", "--quiet") == 0
    assert _slice("mine.py:problem", "--axis=-1:1:9", "--axis=0:1:4", "--workers=2", "-o", "two.h5", "--quiet") == 0
    one, two = store.read("one.h5"), store.read("two.h5")
    for name in one.values:
        np.testing.assert_array_equal(one.values[name], two.values[name])
        np.testing.assert_array_equal(one.rise_stderr[name], two.rise_stderr[name])
    with h5py.File("two.h5") as file:
        counts = eval(file.attrs["worker_points"])  # noqa: S307  a dict of numbers that we wrote
    assert set(counts) == {"0", "1"}
    assert sum(counts.values()) == 36


@pytest.mark.slow
def test_a_refined_run_by_a_fast_engine_gives_the_same_bits_where_workers_build_it_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "can_fork", lambda: False)
    how = ["--axis=-1:1:15", "--axis=-1:1:14", "--tol=0.1", "--samples=auto", "--engine=folded", "--batch=30"]
    assert _slice("mine.py:problem", *how, "--workers=1", "-o", "one.h5", "--quiet") == 0
    assert _slice("mine.py:problem", *how, "--workers=2", "-o", "two.h5", "--quiet") == 0
    one, two = store.read("one.h5"), store.read("two.h5")
    assert (one.provenance["engine"], one.provenance["subset"]) == ("folded", "all")
    for name in one.values:
        np.testing.assert_array_equal(one.values[name], two.values[name])


def test_a_factory_that_gives_other_weights_each_time_is_found_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where workers build it anew."""
    monkeypatch.setattr(workers, "can_fork", lambda: False)
    assert _slice("mine.py:unseeded", "--axis=-1:1:9", "--workers=2") == 1
    assert "in a worker, gave another weights_sha256" in capsys.readouterr().err


def _prepare() -> None:
    state = oracles.net().state_dict()
    save_file({k: v for k, v in state.items() if k != "fc.bias"}, "short.safetensors")
    save_file({**state, "fc.weight": torch.full((3, 144), torch.nan)}, "nan.safetensors")
    torch.save({"state_dict": state, "when": Path("x")}, "unsafe.pt")
    Path("text.h5").write_text("no")
    store.write(Path("cut.h5"), oracles.run_slice(oracles.net_problem(), [(-1, 1, 3)]))
    with Path("cut.h5").open("r+b") as stream:
        stream.truncate(2000)


BAD = [
    (["resnet20-digits", "--data", "x"], 1, "resnet20-digits brings its data along; leave out --data"),
    (["mine.py:problem", "-o", "x.png"], 2, "x.png: the output is an HDF5 file, its picture is drawn beside it"),
    (["mine.py:problem", "--axis=-1:1:inf"], 2, "NUM is inf, expected a whole number"),
    (["mine.py:problem", "--axis=-1:1:1e13"], 2, "expected at most 100000 points"),
    (["mine.py:problem", "--axis=-1:1:3", "--orthogonal"], 2, "the first; give two axes"),
    (["mine.py:raising"], 1, "split train raised OSError: disk gone (mine.py, line "),
    (["resnet21"], 1, "unknown problem 'resnet21'; give one of resnet20-digits, "),
    (["nowhere.py:problem"], 1, "nowhere.py: no such file"),
    (["mine.py:problems"], 1, "mine.py has no function 'problems'; it has problem, slow, broken"),
    (["no.such.module:problem"], 1, "no.such.module raised ModuleNotFoundError"),
    (["mine.py:broken"], 1, "mine.py:broken raised RuntimeError: no data here (mine.py, line "),
    (["mine.py:number"], 1, "mine.py:number returned int; expected a surfaceviz.Problem"),
    (["mine.py:empty"], 1, "split test is empty"),
    (["mine.py:problem", "--data", "x"], 1, "takes no argument named data, so it can't use --data x"),
    (["mine.py:problem", "--weights", "short.safetensors"], 1, "doesn't fit the model: fc.bias is missing"),
    (["mine.py:problem", "--weights", "nan.safetensors"], 1, "the weights hold NaN or inf in fc.weight"),
    (["mine.py:problem", "--weights", "unsafe.pt"], 1, "which can't be read without running code"),
    (["mine.py:problem", "--axis=-1:1:1"], 2, "NUM is 1, expected at least 2 points"),
    (["mine.py:problem", "--axis=1:1:5"], 2, "MIN must be below MAX"),
    (["mine.py:problem", "--axis=-1:1"], 2, "expected MIN:MAX:NUM, such as -1:1:25"),
    (["mine.py:problem", "--axis=-1:nan:5"], 2, "the range must be finite"),
    (["mine.py:problem", "--axis=-1:1:2.5"], 2, "NUM is 2.5, expected a whole number"),
    (["mine.py:problem", *["--axis=-1:1:3"] * 3], 2, "a slice has 1 or 2 axes, got 3"),
    (["mine.py:problem", "--normalise=fliter"], 2, "'fliter' is not one of 'filter', 'layer'"),
    (["mine.py:problem", "--workers=0"], 2, "workers: expected a number of at least 1, or auto, got '0'"),
    (["mine.py:problem", "--samples=0"], 2, "samples must be at least 1, got 0"),
    (["mine.py:problem", "--only=cnov"], 2, "no parameter fits 'cnov'"),
    (["mine.py:problem", "--split=val"], 1, "no split 'val'; the problem has train, test"),
    (["mine.py:problem", "--device=cuda:7"], 1, "device 'cuda:7' is not available"),
    (
        ["mine.py:problem", "--toward=nan.safetensors", "--orthogonal"],
        2,
        "got orthogonal; directions toward models have no such option",
    ),
    (["mine.py:problem", "--toward=none.pt"], 1, "none.pt: no such file of weights"),
    (["mine.py:problem", "-o", "no/where.h5"], 1, "no/where.h5: the folder "),
    (["mine.py:problem", "-o", "text.h5"], 1, "text.h5: no whole HDF5 file"),
    (["mine.py:problem", "-o", "cut.h5"], 1, "cut.h5: no whole HDF5 file"),
    (["mine.py:problem", "--no-such-option"], 2, "No such option: --no-such-option"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=lambda value: str(value)[:60])
def test_bad_input_gets_one_clear_line(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _prepare()
    before = {p: p.read_bytes() for p in Path().iterdir() if p.is_file()}
    capsys.readouterr()
    assert _slice(*arguments) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("surfaceviz: ")
    assert message in line
    assert {p: p.read_bytes() for p in Path().iterdir() if p.is_file()} == before


def test_a_slice_that_diverged_everywhere_is_a_whole_file_without_a_picture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _slice("mine.py:diverging", "--axis=0.5:1:3", "-o", "d.h5") == 0
    captured = capsys.readouterr()
    assert "warning: no picture: no finite value to draw: every point is missing or diverged" in captured.err
    assert "file     d.h5" in captured.out
    assert "stderr" in cli_info("d.h5", capsys)
    assert store.read("d.h5").complete


def cli_info(path: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.run(["info", path]) == 0
    return capsys.readouterr().out


def test_dots_in_names_keep_pictures_apart() -> None:
    for name in ("run-0.1", "run-0.2.h5"):
        assert _slice("mine.py:problem", *SMALL, "--quiet", "-o", name) == 0
    assert cli.run(["plot", "run-0.1", "run-0.2.h5"]) == 0
    pictures = {path.name for path in Path().glob("*.png")}
    assert pictures == {"run-0.1.png", "run-0.2.png", "run-0.1-run-0.2.png"}


def test_no_arguments_show_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 10


@pytest.mark.slow
def test_dry_run_times_the_engine_that_a_run_would_take(capsys: pytest.CaptureFixture[str]) -> None:
    for asked, taken in (("folded", "folded"), ("vmapped", "vmapped")):
        assert _slice("mine.py:problem", *SMALL, "--dry-run", f"--engine={asked}") == 0
        assert re.search(rf"process(es)?, {taken}", capsys.readouterr().out)
    assert _slice("mlp-digits", "--dry-run", "--engine=folded") == 0  # nothing to fold: a run falls back
    assert re.search("process(es)?, eager", capsys.readouterr().out)


def test_dry_run_tells_of_a_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    assert _slice("mine.py:problem", *SMALL, "--quiet") == 0
    assert _slice("mine.py:problem", *SMALL, "--seed=1", "--dry-run") == 0
    assert "refused: net.h5 holds another run (seed is 0 there, 1 here)" in capsys.readouterr().out


def test_debug_gives_the_traceback() -> None:
    with pytest.raises(surfaceviz.SurfacevizError, match="no data here"):
        _slice("mine.py:broken", "--debug")


def test_a_factory_may_take_the_data_folder_and_a_module_be_imported() -> None:
    assert _slice("mine.py:with_data", "--data=here", "--axis=0:1:2", "--no-plot", "--quiet") == 0
    assert Path("from-here.h5").exists()
    Path("mymodule.py").write_text("from mine import problem\n")
    assert _slice("mymodule:problem", "--axis=0:1:2", "--no-plot", "--quiet", "-o", "m.h5") == 0


@pytest.mark.slow
def test_the_program_itself_answers() -> None:
    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "surfaceviz", *arguments], capture_output=True, text=True, check=False
        )

    assert "slice" in ask("--help").stdout
    assert ask("--version").stdout.startswith(f"surfaceviz {surfaceviz.__version__}\n")
    for command in ("slice", "info", "plot"):
        assert f"Example: surfaceviz {command}" in ask(command, "--help").stdout.replace("\n", " ")
    failed = ask("slice", "nothing")
    assert (failed.returncode, len(failed.stderr.splitlines())) == (1, 1)


def test_help_imports_nothing_heavy() -> None:
    script = "import sys; from surfaceviz import cli; cli.run(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "numpy", "matplotlib", "h5py", "scipy"}


def test_an_interrupt_that_an_import_made_another_error_of_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As numpy does when a signal arrives while its C part is imported."""

    def half_imported(_path: object) -> bool:
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        raise AttributeError("module has no attribute '_multiarray_umath'")

    monkeypatch.setattr(store, "holds_training_curvature", half_imported)
    assert cli.run(["info", "a.h5"]) == 130
    assert capsys.readouterr().err == "surfaceviz: interrupted by SIGINT\n"


def test_reach_is_the_default_plane_over_another_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert Request.of("mlp-digits", reach=0.5).axes == (Axis(-0.5, 0.5, 25), Axis(-0.5, 0.5, 25))
    for more, line in (
        (["--reach=0.5", "--axis=-1:1:3"], "got reach 0.5 and axes; give a positive reach, or axes"),
        (["--reach=-1"], "got reach -1; give a positive reach, or axes"),
    ):
        assert cli.run(["slice", "mlp-digits", *more]) == 2
        assert line in capsys.readouterr().err
