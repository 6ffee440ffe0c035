"""Baseline: files and names made to do harm; what comes of them is read by an XML parser, or is one line."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.errors import SchemaError
from surfaceviz.records import DirectionRecord, Mark, Slice

SCRIPT = "<script>alert('1')</script>"
NAMES = ("a&b<i>.h5", "$x^{.h5", "..;rm -rf ~.h5", "line\nbreak.h5", "\N{RIGHT-TO-LEFT OVERRIDE}5h.gnp.h5", "-o.h5")


def _hostile(shape: tuple[int, ...] = (7, 5)) -> Slice:
    axes = tuple(np.linspace(-1, 1, n) for n in shape)
    z = np.asarray(1 + sum(x**2 for x in np.meshgrid(*axes, indexing="ij")))
    values = {"train_loss": z, f"train_{SCRIPT}": z, "train_a,b\n": z}
    directions = tuple(DirectionRecord(kind="file", sha256="00", rule={}, source=f"{SCRIPT}$\\frac$.h5") for _ in shape)
    return Slice(
        axes=axes,
        values=values,
        origin=np.ones(shape, np.uint8),
        centre=dict.fromkeys(values, 1.0),
        directions=directions,
        marks=(Mark(SCRIPT, (0.5,) * len(shape), {}),),
        provenance={"problem": SCRIPT, "command": SCRIPT},
    )


@pytest.mark.parametrize("shape", [(7, 5), (9,)])
@pytest.mark.parametrize("of", ["loss", SCRIPT, f"train_{SCRIPT}", "train_a,b\n"])
def test_names_in_a_file_are_text_in_a_picture(shape: tuple[int, ...], of: str) -> None:
    surfaceviz.plot(_hostile(shape), of=of, output="a.svg")
    root = ET.parse("a.svg").getroot()  # noqa: S314  our own output, which must be well-formed
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "script" not in tags
    assert any("<script>" in (element.text or "") for element in root.iter())


def test_names_in_a_file_are_text_in_three_dimensions() -> None:
    figure = surfaceviz.plot(_hostile(), of=SCRIPT, kind="surface")
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_name_is_a_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = _hostile()  # a name in HDF5 has no slash
    plain = replace(
        hostile, values={k.replace("/", ""): v for k, v in hostile.values.items()}, provenance={"problem": "net"},
        centre={},
    )  # fmt: skip
    store.write(Path(name), plain)
    store.write(Path("b.h5"), plain)
    figure = surfaceviz.plot(name, "b.h5", output="both.png")
    assert len([ax for ax in figure.axes if ax.get_title().startswith("net (")]) == 2
    for command in (["plot", "-o", "x.png"], ["report", "-o", "x.html"], ["info"], ["export", "-ox.csv"]):
        assert cli.run([*command, "--", name]) == 0
        assert capsys.readouterr().err == ""


def _vast(path: Path, name: str) -> None:
    """Declare 31,623 x 31,623 points in a file of a few kilobytes."""
    ones = np.ones((2, 2))
    store.write(
        path,
        Slice(axes=(np.array([0.0, 1.0]),) * 2, values={"train_loss": ones}, origin=ones.astype(np.uint8), centre={}),
    )
    with h5py.File(path, "r+") as file:
        file["slice"].pop(name, None)
        shape = (10**9,) if name in ("alpha", "beta") else (31_623, 31_623)
        kind = np.uint8 if name == "origin" else np.float32
        file.create_dataset(f"slice/{name}", shape, kind, chunks=tuple(min(n, 1024) for n in shape))


@pytest.mark.parametrize("name", ["alpha", "beta", "origin", "train_loss", "train_loss_stderr"])
def test_a_file_that_declares_a_thousand_million_points_is_refused_unread(name: str) -> None:
    path = Path("vast.h5")
    _vast(path, name)
    assert path.stat().st_size < 100_000
    begun = time.process_time()
    with pytest.raises(SchemaError, match=rf"vast.h5: /slice/{name} declares shape .*, which no slice has"):
        store.read(path)
    assert time.process_time() - begun < 5  # reading it would take gigabytes; generous, to tell reading from not


def test_every_command_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    _vast(Path("vast.h5"), "origin")
    for command in (["plot"], ["plot", "--kind", "surface"], ["report"], ["info"], ["view"], ["export", "--to", "vts"]):
        assert cli.run([*command, "vast.h5"]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert line.startswith("surfaceviz: vast.h5: /slice/origin declares shape (31623, 31623)")
    assert [path.name for path in Path().iterdir()] == ["vast.h5"]
