"""Baseline: the three places that name the options of a picture or an export, which must agree with one another."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import pytest

from surfaceviz import cli
from surfaceviz.api import export as export_api
from surfaceviz.api import plot as plot_api
from surfaceviz.cli import plot as plot_cli
from surfaceviz.cli.files import export as export_cli
from surfaceviz.cli.files import view as view_cli
from surfaceviz.pipeline.defaults import defaults_of
from surfaceviz.pipeline.export import REFERENCE
from surfaceviz.render import style
from surfaceviz.render.contours.hessian_map import MAP_QUANTITIES
from surfaceviz.render.contours.levels import SCALES
from surfaceviz.render.export.formats import FORMATS
from surfaceviz.render.export.options import ExportOptions
from surfaceviz.render.kinds import KINDS
from surfaceviz.render.plot_options import AnimationOptions, PlotOptions

_SPELLING = {"map_": "map", "show_points": "points"}  # on the command line: a built-in name, a clearer flag
_OWN = {"output", "debug", "overwrite", "to", "animate", "warn", "advance", "way", "frames"}  # not options of drawing


def _options(command: Callable[..., Any]) -> dict[str, Any]:
    return {_SPELLING.get(name, name): value for name, value in vars(defaults_of(command)).items() if name not in _OWN}


@pytest.mark.parametrize(
    ("command", "function", "record"),
    [(plot_cli.plot, plot_api.plot, PlotOptions), (export_cli.export, export_api.export, ExportOptions)],
)
def test_command_function_and_request_have_the_same_options_and_defaults(
    command: Callable[..., Any], function: Callable[..., Any], record: type
) -> None:
    expected = vars(defaults_of(record))
    assert _options(command) == expected
    assert _options(function) == expected


@pytest.mark.parametrize("function", [view_cli.view, plot_api.view, plot_api.animate])
def test_windows_and_movies_take_the_options_of_kind_surface(function: Callable[..., Any]) -> None:
    more = ("size", "kind", "label", "title", "axis_name") if function is plot_api.animate else ()
    used = {name: getattr(PlotOptions(), name) for name in more}
    used |= {name: getattr(PlotOptions(), name) for name in KINDS["surface"].options}
    assert _options(function) == used


def test_a_movies_defaults_are_those_of_its_record() -> None:
    defaults = vars(defaults_of(plot_api.animate))
    assert {key: defaults[key] for key in ("way", "frames")} == vars(defaults_of(AnimationOptions))


def test_choices_on_the_command_line_are_those_of_the_registries() -> None:
    assert get_args(plot_cli.Kind) == tuple(KINDS)
    assert get_args(plot_cli.MapQuantity) == tuple(MAP_QUANTITIES)
    assert get_args(plot_cli.Scale) == tuple(SCALES)
    assert get_args(plot_cli.PictureSize) == tuple(style.SIZES)
    assert get_args(export_cli.Format) == (*FORMATS, REFERENCE)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_names_a_drawing_function_and_options_that_exist(name: str) -> None:
    assert list(inspect.signature(KINDS[name].load()).parameters) == ["surfaces", "options", "names", "warn"]
    assert set(KINDS[name].options) <= {field.name for field in fields(PlotOptions)}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_names_a_writing_function(name: str) -> None:
    assert list(inspect.signature(FORMATS[name].load()).parameters) == ["surface", "options", "suffix"]


def test_help_groups_options_under_headings(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["plot", "--help"]) == 0
    headings = [line for line in capsys.readouterr().out.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == ["Arguments:", "What is drawn:", "How it looks:", "Movies:", "Output:", "Options:"]
