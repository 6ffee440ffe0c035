"""Baseline: a file that the code named in a slice's file would leave behind, and what the messages must name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from edited import edited

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.errors import ProblemError

PROBLEM = """
from pathlib import Path
import torch
from surfaceviz import Problem

def problem(data=None):
    Path({witness!r}).touch()
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    x = torch.randn(12, 2)
    return Problem(model, (x, x.sum(1, keepdim=True)), "mse")
"""
SLICE = ["slice", "mine.py:problem", "--axis", "-1:1:3", "-o", "run.h5", "--no-plot", "--quiet", "--workers", "1"]
HESSIAN = ["hessian", "run.h5", "--top", "1", "--bottom", "0", "--quiet", "--workers", "1"]


def _run() -> Path:
    """Compute a slice of a problem in a file, and return the file that its code leaves, removed again."""
    witness = Path("ran").absolute()
    Path("mine.py").write_text(PROBLEM.format(witness=str(witness)))
    assert cli.run(SLICE) == 0
    witness.unlink()
    return witness


def _rename(**names: Any) -> None:
    """Change the names in the file, as somebody does who makes a file for others."""
    with edited("run.h5") as file:
        made_from = {**json.loads(file.attrs["made_from"]), **names}
        file.attrs["made_from"] = json.dumps(made_from)


def _as_of_another_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state of another"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration of another"))


def _refusal(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert cli.run(command) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def test_a_file_that_the_user_made_here_needs_no_word() -> None:
    witness = _run()
    assert cli.run(HESSIAN) == 0
    assert witness.exists()
    assert len(store.read("run.h5").spectra) == 1
    assert cli.run(["sharpness", "run.h5", "--no-rescale", "--quiet"]) == 0


@pytest.mark.parametrize("problem", ["os:abort", "mine.py:problem", "http.server:test", "evil.py:f", "this:s"])
def test_a_name_that_somebody_put_into_the_file_is_not_run(problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    witness = _run()
    Path("evil.py").write_text(f"open({str(witness)!r}, 'w')\n")
    _rename(problem=problem, note="changed")
    for command in (HESSIAN, ["sharpness", "run.h5", "--quiet"]):
        line = _refusal(command, capsys)
        assert f"run.h5 names problem {problem}, code to run" in line
        assert "--problem" in line
        assert "--trust" in line
    with pytest.raises(ProblemError, match="nothing shows that you made it from here"):
        surfaceviz.hessian("run.h5")
    assert not witness.exists()


def test_a_file_of_another_user_is_confirmed_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    witness = _run()
    _as_of_another_user(monkeypatch, tmp_path)
    assert "names problem mine.py:problem, code to run" in _refusal(HESSIAN, capsys)
    assert not witness.exists()
    assert cli.run([*(word for word in HESSIAN if word != "--quiet"), "--trust"]) == 0
    assert "trusting run.h5, which names problem mine.py:problem, code to run" in capsys.readouterr().out
    assert cli.run([*HESSIAN, "--at", "0.5"]) == 0  # remembered, although the file has changed by its spectra
    _rename(weights="other.pt")
    assert "weights other.pt" in _refusal(HESSIAN, capsys)
    Path("folder").mkdir()
    Path("run.h5").rename("folder/run.h5")
    os.chdir("folder")
    Path("mine.py").write_text("raise SystemExit")
    assert "names problem" in _refusal(HESSIAN, capsys)  # another place, where the name means another file


def test_the_same_name_in_another_folder_is_other_code(capsys: pytest.CaptureFixture[str]) -> None:
    """A user's own file comes back from the net with code next to it."""
    _run()
    Path("folder").mkdir()
    Path("run.h5").rename("folder/run.h5")
    os.chdir("folder")
    Path("mine.py").write_text("open('executed', 'w')")
    assert "names problem mine.py:problem" in _refusal(HESSIAN, capsys)
    assert not Path("executed").exists()


def test_a_problem_on_the_command_line_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    witness = _run()
    _as_of_another_user(monkeypatch, tmp_path)
    assert cli.run([*HESSIAN, "--problem", "mine.py:problem"]) == 0
    assert witness.exists()


def test_naming_the_problem_does_not_confirm_it_for_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    witness = _run()
    _rename(problem="evil.py:f")
    Path("evil.py").touch()
    _as_of_another_user(monkeypatch, tmp_path)
    assert cli.run([*HESSIAN, "--problem", "mine.py:problem"]) == 0
    witness.unlink()
    assert "names problem evil.py:f" in _refusal(HESSIAN, capsys)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"weights": "w.pt"}, "weights w.pt"),
        ({"data": "/etc"}, "data /etc"),
        ({"toward": ["a.pt", "b.pt"]}, "weights a.pt, weights b.pt"),
        ({"directions": "d.h5"}, "directions d.h5"),
    ],
)
def test_names_of_files_are_confirmed_like_code(
    names: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _run()
    _rename(problem="mlp-digits", **names)
    line = _refusal([*HESSIAN, "--problem", "mine.py:problem"], capsys)
    assert f"run.h5 names {words}, and nothing shows" in line
    assert "--problem" not in line  # it would not help


def test_a_name_of_the_catalogue_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = ["slice", "mlp-digits", "--samples", "20", "--axis", "-1:1:3", "-o", "run.h5", "--no-plot", "--quiet"]
    assert cli.run([*run, "--workers", "1"]) == 0
    _as_of_another_user(monkeypatch, tmp_path)
    assert cli.run(HESSIAN) == 0


def test_a_resumed_file_of_another_user_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _run()
    whole = store.read("run.h5")
    whole.origin[2:] = 0
    store.write(Path("run.h5"), whole, store.read_directions("run.h5"))
    _as_of_another_user(monkeypatch, tmp_path)
    assert cli.run(SLICE) == 0
    assert cli.run(HESSIAN) == 0


@pytest.mark.parametrize(
    "made_from", ["[", "[]", '{"problem": 3}', '{"problem": "a\\u0000b:c"}', "[" * 10**4, '{"toward": 1}']
)
def test_names_that_no_run_writes_are_refused(made_from: str, capsys: pytest.CaptureFixture[str]) -> None:
    _run()
    with edited("run.h5") as file:
        file.attrs["made_from"] = made_from
    assert "the attribute made_from is" in _refusal(HESSIAN, capsys)


@pytest.mark.parametrize(
    ("name", "value"),
    [("axes", "-1:1:1000000000"), ("axes", "x"), ("samples", "many"), ("bn", "x"), ("only", "["), ("seed", "x")],
)
def test_other_attributes_that_no_run_writes_are_one_line(
    name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _run()
    with edited("run.h5") as file:
        file.attrs[name] = value
    assert "run.h5: its attribute" in _refusal(HESSIAN, capsys)


CONTROL = "\x1b[2J\x1b]0;owned\x07\nfile  other.h5\r\u202e"


def test_control_characters_of_a_file_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _run()
    with edited("run.h5") as file:
        for name in ("problem", "command", f"new{CONTROL}"):
            file.attrs[name] = f"net{CONTROL}"
        file[f"slice/train_{CONTROL}"] = file["slice/train_loss"][()]
        file.attrs["made_from"] = json.dumps({"problem": f"{CONTROL}:f"})
    for command in (
        ["info"],
        ["export", "--to", "csv", "-o", "x.csv"],
        ["hessian"],
        ["sharpness"],
        ["merge", "-o", "m.h5"],
    ):
        cli.run([*command, "run.h5"])
        said = capsys.readouterr()
        assert (said.out + said.err).strip()
        for line in (said.out + said.err).splitlines():
            assert line.isprintable()
            assert not line.startswith("file  other.h5")
    assert repr(store.read("run.h5")).isprintable()
    with pytest.raises(ProblemError) as caught:
        surfaceviz.hessian("run.h5")
    assert str(caught.value).isprintable()


def test_only_one_module_prints() -> None:
    folder = Path(cli.__file__).parent
    printing = [
        path.name
        for path in folder.rglob("*.py")
        if any(f"{word}(" in path.read_text().replace("_console.print(printable(", "").replace("_errors.print(f", "")
               for word in ("typer.echo", " print", ".print", "stdout.write", "stderr.write"))
    ]  # fmt: skip
    assert sorted(printing) == ["lines.py", "plot.py"]  # plot.py prints numbers of frames


def test_the_fixture_has_its_own_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert os.environ["XDG_STATE_HOME"].startswith(str(tmp_path_factory.getbasetemp()))
    assert torch.__version__
