"""Baseline: a stand-in for IPython that records what it is asked to display."""

from __future__ import annotations

import html
import signal
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import surfaceviz
from surfaceviz import notebook
from surfaceviz.pipeline.plot.run import Movie
from surfaceviz.pipeline.report import Page
from surfaceviz.reporting import QuietReporter


class Display:
    """Records each page that is displayed or updated."""

    pages: list[dict[str, str]]

    def __init__(self) -> None:
        self.updates = 0

    def display(self, page: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.pages.append(page)

    def update(self, page: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.pages.append(page)
        self.updates += 1


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Let this process look like a notebook, and return what it displays."""
    shown: list[dict[str, str]] = []
    package, display = ModuleType("IPython"), ModuleType("IPython.display")
    package.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.DisplayHandle = type("Handle", (Display,), {"pages": shown})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(notebook, "_INTERVAL", 0.0)
    return shown


def _problem() -> surfaceviz.Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.randn(30, 3)
        return surfaceviz.Problem(nn.Linear(3, 2), (x, x[:, :2]), "mse")


@pytest.mark.filterwarnings("ignore:.*lower than the centre:UserWarning")
def test_a_slice_shows_a_bar_in_a_notebook(pages: list[dict[str, str]]) -> None:
    surfaceviz.slice(_problem(), [(-1, 1, 7)], workers=1, engine="eager")
    assert "<progress value='7' max='7'" in pages[-1]["text/html"]
    assert "7/7 points" in pages[-1]["text/html"]
    assert "centre, train: loss" in pages[-1]["text/html"]


@pytest.mark.filterwarnings("ignore:.*lower than the centre:UserWarning")
def test_no_bar_is_shown_where_a_reporter_is_given(pages: list[dict[str, str]]) -> None:
    surfaceviz.slice(_problem(), [(-1, 1, 7)], workers=1, engine="eager", reporter=surfaceviz.QuietReporter())
    assert pages == []


def test_messages_are_escaped(pages: list[dict[str, str]]) -> None:
    reporter = surfaceviz.NotebookReporter()
    reporter.say("<b>")
    assert "&lt;b&gt;" in pages[-1]["text/html"]
    with pytest.warns(UserWarning, match="careful"):
        reporter.warn("careful")


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])
def test_outside_of_a_notebook_only_warnings_are_shown(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("IPython")
    package.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    assert isinstance(notebook.default_reporter(), QuietReporter)
    monkeypatch.delitem(sys.modules, "IPython")
    assert isinstance(notebook.default_reporter(), QuietReporter)


def test_results_show_themselves() -> None:
    Path("page.html").write_text('<p class="x">it\'s</p>')
    frame = Page(Path("page.html"), 1)._repr_html_()
    assert html.unescape(frame.split("srcdoc='")[1].split("' style")[0]) == '<p class="x">it\'s</p>'
    Path("a.gif").write_bytes(b"abc")
    Path("a.mp4").write_bytes(b"abc")
    assert Movie(Path("a.gif"))._repr_html_() == "<img src='data:image/gif;base64,YWJj'>"
    assert "src='data:video/mp4;base64,YWJj'" in Movie(Path("a.mp4"))._repr_html_()
    found = surfaceviz.sharpness(_problem(), rescale=False, starts=1, iterations=1, reporter=QuietReporter())
    table = found._repr_html_()
    assert f"{found['trace'].value:.4g}" in table
    assert "fails to predict generalisation" in table


def test_an_interrupted_slice_without_a_file_says_how_to_keep_its_points() -> None:
    class Interrupting(QuietReporter):
        def advance(self, done: int, total: int | None, fresh: int) -> None:
            if fresh:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(
        KeyboardInterrupt, match=r"nothing was written: give output='FILE.h5', and the same call resumes"
    ):
        surfaceviz.slice(_problem(), [(-1, 1, 700)], workers=1, engine="eager", reporter=Interrupting())
