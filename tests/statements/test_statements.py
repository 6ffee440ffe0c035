"""Baseline: a float64 program that shares no code with the tool, on 60 random problems; see `float64_program`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import oracles
import pytest
from compare_slices import compare_slice
from compare_spectra import compare_map, compare_spectrum
from comparison import Comparison
from float64_program import Program
from random_problems import random_problem

import surfaceviz

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize("number", range(60))
def test_no_number_of_a_random_problem_is_off_by_more_than_is_told(number: int) -> None:
    given = random_problem(number)
    program, file, told = Program(given), Path("told.h5"), Comparison(given.name)
    quiet: dict[str, Any] = {"workers": 1, "reporter": oracles.Recorder()}
    surfaceviz.slice(given.problem(), given.axes, output=file, ignore=given.ignore, **given.slice_options, **quiet)
    compare_slice(told, given, program, file)
    places = [(0.0,) * len(given.axes), tuple(high / 2 for _, high, _ in given.axes)]
    for index, place in enumerate(places):
        options = given.spectrum_options if index == 0 else {"density": True}
        surfaceviz.hessian(file, place, problem=given.problem(), **options, **quiet)
        compare_spectrum(told, given, program, file, index)
    if given.maps:
        surfaceviz.hessian_map(file, (3,) * len(given.axes), problem=given.problem(), **quiet)
        compare_map(told, program, file)
    assert told.count > 50
    assert not told.faults, told.report()
