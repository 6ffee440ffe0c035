"""The seeds of rays, independent random directions; the first is that of a plain curve."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surfaceviz.directions.axes import Axes

_BYTES = 6  # of a derived seed: 15 digits can be typed, and two of 10,000 rays are equal with probability 2e-7; ours
MOST_RAYS = 10_000  # more are assumed to be a typing error; ours


def ray_seeds(seed: int, count: int) -> tuple[int, ...]:
    r"""Return the seeds of ``count`` rays: the given one, then those derived from it.

    The k-th, counted from 0, is the 48-bit blake2b hash of ``"{seed}\0ray\0{k}"``, little-endian. It does not depend on
    the count, and a plain curve of this seed has the direction of the ray. Successive numbers would share rays between
    runs of seeds 0 and 1.

    >>> ray_seeds(0, 3)[:2] == ray_seeds(0, 2)
    True
    """
    derived = (hashlib.blake2b(f"{seed}\0ray\0{k}".encode(), digest_size=_BYTES).digest() for k in range(1, count))
    return (seed, *(int.from_bytes(each, "little") for each in derived))


def check_rays(repeat: int, *, axes: Axes | None = None, orthogonal: bool = False, regenerate: bool = False) -> None:
    """Refuse a number of rays that is not positive, and options that rays do not have.

    Raises:
        ValueError: the number, or the first option that does not fit.
    """
    if not 1 <= repeat <= MOST_RAYS:
        raise ValueError(f"repeat: got {repeat}; expected a number of rays from 1 to {MOST_RAYS}")
    if repeat == 1:
        return
    if axes is not None and len(axes) != 1:
        raise ValueError(f"got repeat {repeat} and {len(axes)} axes; rays have one. Give one axis, or leave out repeat")
    if orthogonal:
        raise ValueError("got repeat and orthogonal; rays are independent directions. Leave out orthogonal")
    if regenerate:
        raise ValueError("got repeat and regenerate; rays hold one direction at a time anyway. Leave out regenerate")
