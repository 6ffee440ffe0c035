"""Figure of curvature along trainings: a panel for each quantity, trainings laid over each other."""

from __future__ import annotations

from collections.abc import Sequence

from surfaceviz.records import Curvature
from surfaceviz.render import style
from surfaceviz.render.curves.training_curvature import (
    QUANTITIES,
    draw_quantity,
    finish_panel,
    is_known,
    times,
)  # fmt: skip
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import plain
from surfaceviz.render.style import scaled

_WIDTH = 4.8  # inches


def draw_training_curvature(
    trainings: Sequence[Curvature], *, names: Sequence[str] | None = None, size: str = "auto"
) -> Picture:
    """Return a figure of curvature along trainings: panels of quantities over the time of training.

    Courses are laid over each other. Quantities that nobody computed are left out.

    Args:
        trainings: spectra along checkpoints.
        names: what tells trainings of one problem apart, such as their files' names.
        size: auto, column, page or slide.

    Raises:
        ValueError: no training, or one without a spectrum.
    """
    names = _distinct_names(trainings, names)
    x, unit = times(trainings)
    shown = [quantity for quantity in QUANTITIES if is_known(trainings, quantity)]
    with style.applied(size) as inches:
        width = inches.width or _WIDTH
        figure = Picture(figsize=(width, scaled(0.8) + 0.31 * width * len(shown)), layout="constrained")
        figure.exact_width = inches.width
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for ax, quantity in zip(panels, shown, strict=True):
            for i, (training, name) in enumerate(zip(trainings, names, strict=True)):
                colour = style.COLOURS[i % len(style.COLOURS)]
                draw_quantity(ax, training, x[i], quantity, colour=colour, label=name)
            ax.spines["right"].set_visible(False)
            finish_panel(ax, trainings, quantity)
        panels[-1].set_xlabel(unit)
        if len(trainings) > 1:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=2)
        else:
            panels[0].set_title(plain(trainings[0].title) or names[0])
    return figure


def _distinct_names(trainings: Sequence[Curvature], names: Sequence[str] | None) -> list[str]:
    if not trainings:
        raise ValueError("nothing to draw: give at least one file of curvature along a training")
    own = [training.title for training in trainings]
    names = names or [title or str(i + 1) for i, title in enumerate(own)]
    for training, name in zip(trainings, names, strict=True):
        if not training.spectra:
            raise ValueError(f"{name} has no spectrum; compute one by: surfaceviz hessian FILE.h5")
    return [plain(name) for name in (own if len(set(own)) == len(own) and all(own) else names)]
