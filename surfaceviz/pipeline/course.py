"""The course of a run: all points at once, or round by round until an audit passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from surfaceviz.interrupt import shielded
from surfaceviz.listener import Listener
from surfaceviz.pipeline.board import Board
from surfaceviz.pipeline.plan import Plan
from surfaceviz.records import FloatArray, describe_audit
from surfaceviz.refine import Goal, Refined, fill, refinement

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Asked:
    """Points to evaluate: flat indices, and whether on all samples where otherwise a subset does."""

    indices: Indices
    whole: bool = False


class Course(Protocol):
    """Which points to evaluate, and what the others are."""

    def rounds(self) -> Iterator[Asked]:
        """Yield points; when the next are asked for, the values of the last are on the board."""

    def paint(self) -> None:
        """Bring what is interpolated on the board up to date, for a snapshot."""


class Everything:
    """Evaluates every point."""

    def __init__(self, board: Board) -> None:
        self._count = board.origin.size

    def rounds(self) -> Iterator[Asked]:
        """Yield all points, once."""
        yield Asked(np.arange(self._count))

    def paint(self) -> None:
        """Do nothing: nothing is interpolated."""


class Refinement:
    """Evaluates points coarse to fine and interpolates the rest.

    A run is continued by going through the same rounds again: points that are on the board are not evaluated anew.
    """

    def __init__(self, board: Board, goal: Goal, listener: Listener) -> None:
        self._board, self._goal, self._listener = board, goal, listener
        self._known: list[Indices] = []  # the rounds that have been evaluated
        self._filled: Mapping[str, FloatArray] | None = None

    def rounds(self) -> Iterator[Asked]:
        """Yield the points of each round, and leave the whole surface on the board."""
        course = refinement(self._board.axes, self._goal)
        asked = next(course)
        audits = 0
        while True:
            self._filled = asked.filled
            # An audit is of the whole; so are the points after one that failed, as the subset may be the reason.
            yield Asked(asked.indices, whole=audits > 0 or asked.purpose == "audit")
            self._known.append(asked.indices)
            values = self._board.at(asked.indices)
            try:
                followed_audit = asked.purpose == "audit"
                asked = course.send({name: values[name] for name in self._goal.levels})
            except StopIteration as stop:
                self._finish(stop.value)
                return
            if followed_audit:
                audits += 1
                self._listener.say(f"audit {audits}: too many of the interpolated points are off; refining on")

    def paint(self) -> None:
        """Put the interpolant of the last whole round on the board."""
        if self._filled is not None:
            self._interpolate(self._filled, np.sort(np.concatenate(self._known)))

    def _finish(self, refined: Refined) -> None:
        with shielded():  # a file with an audit is a finished one
            self._interpolate(refined.filled, refined.evaluated)
            self._filled, self._board.audit = None, refined.audit
        self._listener.say(f"audit: {describe_audit(refined.audit)}")

    def _interpolate(self, filled: Mapping[str, FloatArray], known: Indices) -> None:
        values = self._board.at(known)
        others = {name: array for name, array in values.items() if name not in filled}
        # A loss below all that are known, of -1e-4 say, would be no finding; where the true one is not, this is closer.
        losses = {name: np.fmax(array, np.fmin.reduce(values[name])) for name, array in filled.items()}
        self._board.interpolate({**losses, **fill(self._board.axes, known, others)})


def course(plan: Plan, board: Board, levels: Mapping[str, float], listener: Listener) -> Course:
    """Return the course of a plan."""
    tolerance = plan.request.tolerance
    if tolerance is None:
        return Everything(board)
    centre = {name: board.centre[name] for name in levels}
    return Refinement(board, Goal(tolerance, dict(levels), centre), listener)
