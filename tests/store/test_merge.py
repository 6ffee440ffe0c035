"""Baseline: an undivided run of one process; merged parts must be the same bits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from edited import edited

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.directions import normalise, random
from surfaceviz.errors import MergeError, StoreError
from surfaceviz.pipeline.slice.planning.coverage import Shard
from surfaceviz.records import Slice

EAGER: Any = {"engine": "eager", "batch_size": 128}
PLANE = [(-1, 1, 7), (0, 1, 5)]


def _parts(axes: Any, count: int = 3, **options: Any) -> list[str]:
    names = [f"part-{i}.h5" for i in range(1, count + 1)]
    for i, name in enumerate(names, start=1):
        oracles.run_slice(oracles.net_problem(), axes, output=name, shard=f"{i}/{count}", **{**EAGER, **options})
    return names


def _assert_equal_bits(a: Slice, b: Slice) -> None:
    assert a.complete
    for kind in ("values", "stderr", "rise_stderr"):
        assert getattr(a, kind).keys() == getattr(b, kind).keys()
        for name, array in getattr(a, kind).items():
            np.testing.assert_array_equal(array, getattr(b, kind)[name])


@pytest.mark.parametrize("axes", [[(-1, 1, 9)], PLANE], ids=["curve", "plane"])
@pytest.mark.parametrize("engine", [EAGER, {"engine": "vmapped", "batch_size": 16}], ids=["eager", "vmapped"])
def test_merged_parts_have_the_bits_of_one_run(axes: Any, engine: Any) -> None:
    whole = surfaceviz.merge(*_parts(axes, 3, **engine), output="whole.h5")
    _assert_equal_bits(whole, oracles.run_slice(oracles.net_problem(), axes, **engine))
    stored = store.read("whole.h5")
    _assert_equal_bits(stored, whole)
    counts = json.loads(str(stored.provenance["worker_points"]))
    assert set(counts) == {f"{i}/3, worker 0" for i in (1, 2, 3)}
    assert sum(counts.values()) == whole.origin.size
    directions = store.read_directions("whole.h5")
    assert [set(d) for d in directions] == [set(d) for d in store.read_directions("part-1.h5")]


def test_parts_are_disjoint_cover_the_grid_and_are_even() -> None:
    origins = np.array([store.read(name).origin for name in _parts(PLANE, 4)])
    np.testing.assert_array_equal(origins.sum(0), np.ones((7, 5)))
    assert [int(o.sum()) for o in origins] == [9, 9, 9, 8]


def test_what_is_merged_in_part_is_gone_on_from_without_shards() -> None:
    names = _parts(PLANE)
    with pytest.raises(MergeError, match=r"12 of 35 points are in no part \(no part 2/3 was given\), or .* --partial"):
        surfaceviz.merge(names[0], names[2])
    assert surfaceviz.merge(names[0], names[2], output="whole.h5", partial=True).done == 23
    recorder = oracles.Recorder()
    resumed = oracles.run_slice(oracles.net_problem(), PLANE, output="whole.h5", reporter=recorder)
    assert recorder.progress[-1] == (35, 35, 12)
    _assert_equal_bits(resumed, oracles.run_slice(oracles.net_problem(), PLANE, **EAGER))


def test_a_part_is_finished_by_its_own_command_and_refused_by_others() -> None:
    names = _parts(PLANE)
    part = store.read(names[1])
    part.origin.flat[[1, 4, 7]] = 0  # three of the second shard's points
    store.write(Path(names[1]), part)
    with pytest.raises(MergeError, match="3 of 35 points are in no part .a part is not finished: run its command"):
        surfaceviz.merge(*names)
    for shard in ("1/3", "2/4", None):
        with pytest.raises(StoreError, match=f"shard is 2/3 there, {shard or 'none'} here"):
            oracles.run_slice(oracles.net_problem(), PLANE, output=names[1], shard=shard)
    recorder = oracles.Recorder()
    oracles.run_slice(oracles.net_problem(), PLANE, output=names[1], shard="2/3", reporter=recorder)
    assert recorder.progress[-1] == (12, 12, 3)
    oracles.run_slice(oracles.net_problem(), PLANE, output=names[1], shard="2/3", reporter=recorder)
    assert recorder.said[-1] == "part-2.h5 is complete already: all 12 points of shard 2/3; nothing to do"
    _assert_equal_bits(surfaceviz.merge(*names), oracles.run_slice(oracles.net_problem(), PLANE, **EAGER))


def test_parts_of_another_slice_are_refused() -> None:
    names = _parts(PLANE)
    for options, words in (
        ({"seed": 1}, "seed is 1 there, 0 in part-1.h5"),
        ({"dtype": "float64"}, "dtype is float64 there"),
        ({"axes": [(-1, 1, 7), (0, 2, 5)]}, "axes is -1:1:7 0:2:5 there"),
        ({"splits": ("test",)}, "splits is test there"),
    ):
        given: Any = {"axes": PLANE, "shard": "2/3", **EAGER, **options}
        oracles.run_slice(oracles.net_problem(), output="other.h5", overwrite=True, **given)
        with pytest.raises(MergeError, match=f"other.h5 is not a part of the same slice .*{words}"):
            surfaceviz.merge(names[0], "other.h5", names[2])
    oracles.run_slice(oracles.net_problem(seed=1), PLANE, output="weights.h5", shard="2/3", **EAGER)
    with pytest.raises(MergeError, match=r"weights.h5 is not a part of the same slice \(weights_sha256 is"):
        surfaceviz.merge(names[0], "weights.h5", names[2])


def test_points_that_two_parts_hold_must_be_equal() -> None:
    names = _parts(PLANE)
    with pytest.raises(MergeError, match="part-1.h5 is given twice"):
        surfaceviz.merge(*names, names[0])
    shutil.copy(names[0], "copy.h5")
    assert surfaceviz.merge(*names, "copy.h5").complete
    with edited(names[0]) as file:
        file.attrs["shard"] = "1/3"
        file["slice/train_loss"][0, 0] += 1e-9
    oracles.run_slice(oracles.net_problem(), PLANE, output="again.h5", shard="1/3", **EAGER)
    words = r"again.h5 and part-1.h5 both hold 1 points, in which they differ: train_loss at \(-1, 0\) is"
    with pytest.raises(MergeError, match=words):
        surfaceviz.merge(*names, "again.h5")


def test_parts_of_different_engines_are_joined_with_a_word() -> None:
    names, recorder = _parts(PLANE), oracles.Recorder()
    # with a batch size, as the fastest one depends on the machine's load
    oracles.run_slice(
        oracles.net_problem(), PLANE, output="part-2.h5", shard="2/3", engine="folded", batch_size=128, overwrite=True,
        reporter=recorder,
    )  # fmt: skip
    assert str(store.read("part-2.h5").provenance["engine"]) == "folded", recorder.warned
    whole = surfaceviz.merge(*names)
    assert "parts differ in engine: values agree within rounding" in str(whole.provenance["rounding"])
    exact = oracles.run_slice(oracles.net_problem(), PLANE, **EAGER)
    np.testing.assert_allclose(whole.values["train_loss"], exact.values["train_loss"], rtol=1e-5)


@pytest.mark.parametrize("engine", ["folded", "vmapped"])
def test_every_engine_takes_the_same_points(engine: str) -> None:
    names = _parts([(-1, 1, 9)])
    oracles.run_slice(oracles.net_problem(), [(-1, 1, 9)], output=names[1], shard="2/3", engine=engine, overwrite=True)
    whole, exact = surfaceviz.merge(*names), oracles.run_slice(oracles.net_problem(), [(-1, 1, 9)], **EAGER)
    np.testing.assert_allclose(whole.values["train_loss"], exact.values["train_loss"], rtol=1e-5)


def test_parts_along_other_directions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As other versions of numpy might make them of one seed."""
    names, noise = _parts(PLANE), normalise.noise
    monkeypatch.setattr(random, "noise", lambda seed, *rest: noise(seed + 1, *rest))
    oracles.run_slice(oracles.net_problem(), PLANE, output=names[1], shard="2/3", overwrite=True, **EAGER)
    with pytest.raises(
        MergeError, match=r"part-2.h5 is not a part of the same slice \(its directions are others, by sha256"
    ):
        surfaceviz.merge(*names)
    monkeypatch.setattr(random, "noise", lambda *given: noise(*given) * (1 + 1e-7))  # another CPU's rounding
    oracles.run_slice(
        oracles.net_problem(), PLANE, output=names[1], shard="2/3", overwrite=True, normalise="none", **EAGER
    )
    for name, shard in ((names[0], "1/3"), (names[2], "3/3")):
        monkeypatch.setattr(random, "noise", noise)
        oracles.run_slice(
            oracles.net_problem(), PLANE, output=name, shard=shard, overwrite=True, normalise="none", **EAGER
        )
    assert "parts differ in kind of machine" in str(surfaceviz.merge(*names).provenance["rounding"])


def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    grid = ["mine.py:problem", "--axis=-1:1:4", "--axis=-1:1:3", "--engine=eager", "--batch=128"]
    for i in (1, 2):
        assert cli.run(["slice", *grid, "--shard", f"{i}/2"]) == 0
    assert not list(Path().glob("*.png"))
    capsys.readouterr()
    assert cli.run(["merge", "net-1of2.h5", "net-2of2.h5", "-o", "whole.h5"]) == 0
    out = capsys.readouterr().out
    assert out == "file: whole.h5, 12 of 12 points, of 2 parts\npicture: whole.png\n"
    assert Path("whole.png").exists()
    assert cli.run(["merge", "net-1of2.h5", "-o", "whole.h5"]) == 1
    assert cli.run(["merge", "net-1of2.h5", "net-2of2.h5", "-o", "whole.h5"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("surfaceviz: 6 of 12 points are in no part (no part 2/2 was given)")
    assert errors[1] == "surfaceviz: whole.h5 is there already, and kept; give another name, or --overwrite"
    assert store.read("whole.h5").complete
    for given, words in (
        (("--shard=0/3",), "shard: expected I/N with I from 1 to N, got 0/3"),
        (("--shard=3",), "shard: expected I/N, such as 2/8 for the second of eight parts, got '3'"),
        (("--shard=1/3", "--tol=0.1"), "shard and tol exclude each other"),
        (("--shard=1/3", "--dtype=auto"), "shard: parts that choose a dtype by themselves may not fit together"),
    ):
        assert cli.run(["slice", *grid, *given]) == 2
        assert capsys.readouterr().err.startswith(f"surfaceviz: {words}")


def test_shards_are_counted_from_one() -> None:
    assert str(Shard.parse("2/8")) == "2/8"
    with pytest.raises(ValueError, match="I from 1 to N, got 9/8"):
        Shard(9, 8)
