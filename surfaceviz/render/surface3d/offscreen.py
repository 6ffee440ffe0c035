"""Stages for scenes, with what the graphics library says held back unless it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from surfaceviz.errors import GraphicsError
from surfaceviz.render.surface3d.camera import View
from surfaceviz.render.surface3d.quiet import quiet
from surfaceviz.render.surface3d.scene import Scene

if TYPE_CHECKING:
    from surfaceviz.render.surface3d.stage import Shot

Shoot = Callable[[View, int | None], "list[Shot]"]


@contextmanager
def staged(scenes: Sequence[Scene], pixels: tuple[int, int]) -> Iterator[Shoot]:
    """Give what takes the picture of each scene from a view, up to an iterate, for a ``with`` block.

    Raises:
        GraphicsError: there is no OpenGL, or it fails.
    """
    with ExitStack() as stack:
        with _failing():
            from surfaceviz.render.surface3d.opengl import check_opengl

            check_opengl()
            from surfaceviz.render.surface3d.stage import Stage

            stages = []
            for scene in scenes:
                stages.append(Stage(scene, pixels))
                stack.callback(stages[-1].close)

        def shoot(view: View, upto: int | None) -> list[Shot]:
            with _failing():
                return [stage.shoot(view, upto=upto) for stage in stages]

        yield shoot


@contextmanager
def _failing() -> Iterator[None]:
    """Turn what the library raises into a line with what it said last."""
    with quiet() as last_words:
        try:
            yield
        except RuntimeError as error:
            raise GraphicsError(f"OpenGL fails: {last_words() or error}") from error
