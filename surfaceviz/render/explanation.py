"""What slices hide, in sentences below a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.text import Text

from surfaceviz.records import Slice, explanation
from surfaceviz.render import style
from surfaceviz.render.figure_io import Picture, settled_box
from surfaceviz.render.labels import plain
from surfaceviz.render.style import scaled

_AIR = 0.1  # inches of a 9 point font, above the sentences
_FEWEST = 24  # letters of a line, however narrow the picture is
_LONG = 1000  # letters of a sentence, written in full


def explanations(surfaces: Sequence[Slice], names: Sequence[str]) -> tuple[str, ...]:
    """Return the sentences of all slices; of several, each begins with its name."""
    several = len(surfaces) > 1
    return tuple(
        f"{name}: {line}" if several else line
        for surface, name in zip(surfaces, names, strict=True)
        for line in explanation(surface)
    )


def write_below(figure: Picture, lines: Sequence[str], *, size: str) -> Text:
    """Write sentences below all else that is drawn, and return their text; a written picture grows by it.

    Args:
        figure: a drawn figure.
        lines: one sentence each.
        size: the name of its size, in `style.SIZES`.
    """
    figure.explanation = tuple(lines)
    shown = [plain(line, _LONG) for line in lines]
    with style.applied(size):
        box = settled_box(figure)
        width, height = figure.get_size_inches()
        text = figure.text(
            box.x0 / width, (box.y0 - scaled(_AIR)) / height, "\n".join(shown), fontsize="small", ha="left", va="top",
            linespacing=1.25,
        )  # fmt: skip
        room = figure.exact_width or box.width
        letters = max(map(len, shown)) * room / (text.get_window_extent().width / figure.dpi)
        figure.set_layout_engine("none")  # all stays where it was drawn
        for legend in figure.legends:  # else they stand at the lower edge of what is written, over the sentences
            legend.set_bbox_to_anchor((0, 0, 1, 1), transform=figure.transFigure)
        text.set_text("\n".join(part for line in shown for part in _wrapped(line, int(letters))))
    return text


def _wrapped(line: str, letters: int) -> list[str]:
    return textwrap.wrap(line, max(_FEWEST, letters - 2), subsequent_indent="   ", break_long_words=False)
