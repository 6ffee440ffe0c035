"""Curves in the units of rays: one distance from theta is at one place of the axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from surfaceviz.records import Slice

# Directions of norm 1, as `surfaceviz.directions` makes them.
_UNIT = ("ascent", "eigenvector", "gradient", "gradient difference", "coordinate", "trajectory")


def same_distance(surfaces: Sequence[Slice], names: Sequence[str]) -> list[Slice]:
    """Return 1-D slices with the coordinates of curves along unit directions divided by the norm of a ray.

    Where alpha is 1 on a ray, its distance from theta is the norm of its direction; that of a unit direction is alpha
    itself. Slices are returned as they are where none is of rays.

    Args:
        surfaces: 1-D slices.
        names: of their files.

    Raises:
        ValueError: a curve around other weights than every ray, or along a direction of another or an unknown norm.
    """
    bundles = [surface for surface in surfaces if surface.seeds]
    if not bundles:
        return list(surfaces)
    return [s if s.seeds else _scaled(s, bundles, name) for s, name in zip(surfaces, names, strict=True)]


def _scaled(curve: Slice, bundles: Sequence[Slice], name: str) -> Slice:
    weights = curve.provenance.get("weights_sha256")
    around = next((rays for rays in bundles if rays.provenance.get("weights_sha256") == weights), None)
    if around is None:
        raise ValueError(f"{name} lies around other weights than the rays; draw it apart")
    own, first = curve.directions[:1], around.directions[:1]
    if own and first and own[0].kind == "random" and own[0].normalise == first[0].normalise:
        return curve
    if not own or own[0].kind not in _UNIT or not first or not first[0].norm:
        kind = own[0].kind if own else "unknown"
        raise ValueError(
            f"{name} has a direction ({kind}) whose length is not known to be that of the rays; draw it apart. Over "
            f"rays are drawn: random with one normalisation, {', '.join(_UNIT)}"
        )
    return replace(curve, axes=(curve.axes[0] / first[0].norm,))
