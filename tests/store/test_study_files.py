"""Baseline: the record that was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import surfaceviz
from surfaceviz.errors import SchemaError, StoreError
from surfaceviz.records.studies import StudyPanel, StudyResult, StudySeries, study_rows
from surfaceviz.store import OutputFile
from surfaceviz.store.study import holds_study, read_study, write_study


def _result() -> StudyResult:
    series = (
        StudySeries(label="ours", x=np.arange(3.0), y=np.ones(3), kind="points", error=np.full(3, 0.1)),
        StudySeries(label="theirs", x=np.arange(2.0), y=np.zeros(2)),
    )
    return StudyResult(
        name="toy", title="A toy", question="Is it 1?", see="a line", misleads="a point", sources="by hand", quick=True,
        quantities=("one", "two", "three"), known=np.array([1.0, 2.0, np.nan]), found=np.array([1.0, 2.5, 3.0]),
        allowed=np.array([1e-8, 0.1, 0.0]), panels=(StudyPanel(title="p", x_label="x", y_label="y", series=series),),
    )  # fmt: skip


def test_a_study_is_read_as_it_was_written() -> None:
    write_study(OutputFile(Path("toy.h5")), _result())
    read = read_study("toy.h5")
    assert holds_study("toy.h5")
    assert (read.name, read.quantities, read.quick, read.sources) == ("toy", ("one", "two", "three"), True, "by hand")
    np.testing.assert_array_equal(read.known, [1.0, 2.0, np.nan])
    (panel,) = read.panels
    assert [each.label for each in panel.series] == ["ours", "theirs"]
    assert panel.series[0].error is not None
    assert panel.series[1].error is None
    assert panel.surface is None


def test_a_row_without_a_known_number_neither_agrees_nor_differs() -> None:
    assert _result().agrees.tolist() == [True, False, True]
    assert [row[-1] for row in study_rows(_result())] == ["agrees", "yes", "NO", "-"]


def test_a_slices_file_is_no_studys() -> None:
    with pytest.raises(SchemaError, match="no such file"):
        read_study("missing.h5")


def test_another_file_of_the_name_is_kept() -> None:
    Path("study-linear-2-3-1.h5").write_text("precious")
    with pytest.raises(StoreError, match="holds no study; give another folder, or overwrite"):
        surfaceviz.study("linear-2-3-1", quick=True, output=".")
    assert Path("study-linear-2-3-1.h5").read_text() == "precious"


def test_a_name_that_no_study_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got study 'no-such'; expected one of five-points"):
        surfaceviz.study("no-such")
