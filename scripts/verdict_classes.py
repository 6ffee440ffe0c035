"""Classes of pairs of bench_verdicts.py: copies of equal function, pairs of different networks, undecided pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np
import torch
import verdict_networks as networks
from numpy.typing import NDArray
from torch import Tensor
from verdict_networks import World
from verdict_pool import Member, Pool, log_ratios, noise, rises

from surfaceviz.comparison import DIRECTIONS, RADII, Evidence, from_directions, shift_of, verdicts
from surfaceviz.curvature.objective import Theta
from surfaceviz.records import FloatArray, Verdict

MIDDLE = 1  # the radius 0.1
EFFECT, NEAR = 0.3, 0.02

Draws = tuple[FloatArray, FloatArray]  # as the network is and in the gauge, (K, 3) each
Copy = Callable[[World, Theta, torch.Generator], dict[str, Tensor]]
Pools = dict[bool, Pool]  # with batch norm or without
Judged = tuple[tuple[Verdict, ...], FloatArray]  # verdicts on three radii, true log-ratios (2, 3)


def judged(a: Draws, b: Draws) -> tuple[Verdict, ...]:
    """Return the verdicts on the three radii, from the draws of both networks."""
    columns = [tuple(each[:, k] for each in (*a, *b)) for k in range(len(RADII))]
    evidence = [
        Evidence(
            measure=f"rise_{radius:g}", raw=from_directions(raw_a, raw_b), gauge=from_directions(gauge_a, gauge_b),
            shift=shift_of((raw_a, raw_b), (gauge_a, gauge_b)),
        )
        for radius, (raw_a, gauge_a, raw_b, gauge_b) in zip(RADII, columns, strict=True)
    ]  # fmt: skip
    return verdicts(evidence)


class Directions:
    """The noise of the pair with a number, another one in each kind of network, kept for all classes."""

    def __init__(self) -> None:
        self._kept: dict[tuple[bool, int], Tensor] = {}

    def __call__(self, here: World, i: int) -> Tensor:
        """Return the noise of pair ``i``, (K, P)."""
        key = (here.normed, i)
        if key not in self._kept:
            self._kept[key] = noise(here, i, DIRECTIONS)
        return self._kept[key]


def _every(here: World, theta: Theta, generator: torch.Generator) -> dict[str, Tensor]:
    made = networks.rescaled(here, theta, generator, one=False)
    made = networks.norm_rescaled(here, made, generator) if here.normed else made
    return networks.permuted(here, made, generator)


def _louder(here: World, theta: Theta, generator: torch.Generator) -> dict[str, Tensor]:
    size, sign = torch.rand(2, generator=generator).tolist()
    return networks.louder(here, theta, 2 ** ((1 + size) * (1 if sign < 0.5 else -1)))


COPIES: dict[str, tuple[Copy, tuple[bool, ...]]] = {  # the copy, and the kinds of networks that have it
    "layer": (lambda here, theta, g: networks.rescaled(here, theta, g, one=True), (False, True)),
    "neuron": (lambda here, theta, g: networks.rescaled(here, theta, g, one=False), (False, True)),
    "batch norm": (networks.norm_rescaled, (True,)),
    "permutation": (networks.permuted, (False, True)),
    "all of them": (_every, (False, True)),
    "logits": (_louder, (False, True)),
    "logits and all of them": (lambda here, theta, g: _every(here, _louder(here, theta, g), g), (False, True)),
}


def copies(pools: Pools, name: str, numbers: range, directions: Directions) -> Iterator[Judged]:
    """Yield the verdicts on networks against their copies; the truth is a ratio of 1 in the gauge."""
    make, kinds = COPIES[name]
    for i in numbers:
        pool = pools[kinds[i % len(kinds)]]
        here, member = pool.world, pool.members[i // len(kinds) % len(pool.members)]
        theta = make(here, member.theta, torch.Generator().manual_seed(100 * i + list(COPIES).index(name)))
        copy = Member(theta=theta, gauge=_gauge(here, theta), draws=member.draws)
        z = directions(here, i)
        yield judged(_draws(here, member, z), _draws(here, copy, z)), np.full((2, len(RADII)), np.nan)


def _gauge(here: World, theta: Theta) -> Theta:
    found = networks.gauged(here, theta).theta
    assert found is not None
    return found


def _draws(here: World, member: Member, z: Tensor) -> Draws:
    return rises(here, member.theta, z), rises(here, member.gauge, z)


def different(pools: Pools, numbers: range, directions: Directions) -> Iterator[Judged]:
    """Yield the verdicts on random pairs of different networks, with the true log-ratios."""
    for i in numbers:
        pool = pools[bool(i % 2)]
        a, b = np.random.default_rng(i).choice(len(pool.members), 2, replace=False)
        yield _pair(pool, int(a), int(b), directions(pool.world, i))


def _pair(pool: Pool, a: int, b: int, z: Tensor) -> Judged:
    one, two = (_draws(pool.world, pool.members[k], z) for k in (a, b))
    return judged(one, two), log_ratios([pool.members[a], pool.members[b]])[0, 1]


def effects(pools: Pools, numbers: range, directions: Directions, *, in_gauge: bool) -> Iterator[Judged]:
    """Yield the verdicts on pairs with a true log-ratio of +-0.3 at the radius 0.1.

    Args:
        pools: the networks.
        numbers: of the pairs.
        directions: of each pair.
        in_gauge: whether the networks are given in the gauge, so that both ratios are 0.3; otherwise they are as
            trained, with a ratio of 0.3, and one of the same sign, at least as far from 1, in the gauge.
    """
    places = [(normed, a, b) for normed in pools for a, b in effect_pairs(pools[normed], in_gauge=in_gauge)]
    for i in numbers:
        normed, a, b = places[i % len(places)]
        pool = pools[normed]
        if in_gauge:
            found = [_draws(pool.world, _as_given(pool.members[k]), directions(pool.world, i)) for k in (a, b)]
            truth = log_ratios([pool.members[a], pool.members[b]])[0, 1]
            yield judged(found[0], found[1]), truth[[1, 1]]
        else:
            yield _pair(pool, a, b, directions(pool.world, i))


def _as_given(member: Member) -> Member:
    """Return the network in its gauge as if it had been trained so."""
    return Member(theta=member.gauge, gauge=member.gauge, draws=member.draws[[1, 1]])


def effect_pairs(pool: Pool, *, in_gauge: bool) -> list[tuple[int, int]]:
    """Return the ordered pairs with a true log-ratio of +-(0.3 +- 0.02) at the radius 0.1."""
    ratios = log_ratios(pool.members)[..., MIDDLE]
    found = []
    for a, b in permutations(range(len(pool.members)), 2):
        raw, gauge = (float(ratio) for ratio in ratios[a, b])
        if in_gauge and abs(abs(gauge) - EFFECT) <= NEAR:
            found.append((a, b))
        if not in_gauge and abs(abs(raw) - EFFECT) <= NEAR and gauge * np.sign(raw) >= EFFECT - NEAR:
            found.append((a, b))
    return found


def followed(pools: Pools, numbers: range, *, same: bool) -> Iterator[tuple[Verdict, Verdict | None]]:
    """Yield undecided verdicts at the radius 0.1, each with that after as many directions as it names, or None.

    The directions are a random part of the 10^4, of which the first ones are kept.

    Args:
        pools: the networks.
        numbers: of the pairs.
        same: whether a network is compared with itself along other directions, as with a permuted copy; else pairs are
            of different networks.
    """
    for i in numbers:
        pool, generator = pools[bool(i % 2)], np.random.default_rng(10**5 + i)
        a, b = generator.choice(len(pool.members), 2, replace=False)
        first, second = pool.members[a], pool.members[a if same else b]
        rows = generator.permutation(first.draws.shape[1])
        others = rows[::-1] if same else rows
        before = _at((first, rows[:DIRECTIONS]), (second, others[:DIRECTIONS]))
        if before.kind == "undecided":
            named = before.needed or 2 * len(rows)
            enough = named <= len(rows) // (2 if same else 1)
            yield before, _at((first, rows[:named]), (second, others[:named])) if enough else None


def _at(*sides: tuple[Member, NDArray[np.intp]]) -> Verdict:
    a, b = ((member.draws[0, rows], member.draws[1, rows]) for member, rows in sides)
    return judged(a, b)[MIDDLE]
