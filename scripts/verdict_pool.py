"""The pools of networks of bench_verdicts.py, with 10^4 directions for each, and the cache of all its results."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import verdict_networks as networks
from torch import Tensor
from verdict_networks import World

from surfaceviz.comparison import RADII
from surfaceviz.curvature.objective import Theta
from surfaceviz.records import FloatArray
from surfaceviz.sharpness_measures.random_perturbations import antithetic_rise, filter_noise

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "build" / "verdicts"
TRUTH = 10_000  # directions of a network's true rise
BLOCK = 500  # directions at a time
TRUTH_SEED = 10**6


@dataclass(frozen=True, kw_only=True)
class Member:
    """A network of a pool.

    Attributes:
        theta: weights and buffers as trained.
        gauge: the same in the gauge, at the fitted temperature.
        draws: rises of each direction and radius, as they are and in the gauge, (2, 10^4, 3).
    """

    theta: Theta
    gauge: Theta
    draws: FloatArray

    @property
    def truth(self) -> FloatArray:
        """The expected rise as it is and in the gauge, (2, 3)."""
        means: FloatArray = self.draws.mean(1)
        return means


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Networks of one kind on one data set."""

    world: World
    members: tuple[Member, ...]


def noise(here: World, seed: int, count: int, start: int = 0) -> Tensor:
    """Return the unscaled noise of directions ``start``, ..., as the tool draws it, (count, P)."""
    layout = here.objective.layout
    ones = torch.ones(layout.dimension, dtype=torch.float64)
    return torch.stack([filter_noise(layout, ones, seed=seed, axis=start + k) for k in range(count)])


def rises(here: World, theta: Theta, z: Tensor) -> FloatArray:
    """Return the rise of each direction and radius by the tool's own formula, (K, 3)."""
    x, loss, scales = here.objective.layout.of(theta), here.losses(theta), here.objective.scales(theta)
    level = float(loss(x))
    return np.stack([antithetic_rise(loss, x, r * (scales * z), level).numpy() for r in RADII], 1)


def pool(seed: int, count: int, *, normed: bool) -> Pool:
    """Return trained networks with their true rises; trained and measured once, then read from the cache."""
    here = networks.world(seed, normed=normed)
    z: list[Tensor] = []

    def member(k: int) -> Member:
        theta = networks.train(here, 1000 * seed + k)
        gauge = networks.gauged(here, theta).theta
        assert gauge is not None

        def measure() -> FloatArray:
            if not z:
                z.append(noise(here, TRUTH_SEED + seed, TRUTH))
            blocks = [[rises(here, w, some) for some in z[0].split(BLOCK)] for w in (theta, gauge)]
            return np.stack([np.concatenate(each) for each in blocks])

        kind = "norm" if normed else "plain"
        return Member(theta=theta, gauge=gauge, draws=_cached_array(f"truth-{kind}-{seed}-{k}", measure))

    return Pool(world=here, members=tuple(member(k) for k in range(count)))


def key_of(folders: Iterable[str]) -> str:
    """Return a hash of sources, so that a result of other code is not used."""
    files = sorted(path for each in folders for path in ([ROOT / each] if "." in each else (ROOT / each).glob("*.py")))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


_NETWORKS = (
    "scripts/verdict_networks.py", "surfaceviz/symmetry", "surfaceviz/sharpness_measures/random_perturbations.py",
    "surfaceviz/directions/normalise.py",
)  # fmt: skip
_ALL = (
    *_NETWORKS, "scripts/bench_verdicts.py", "scripts/verdict_pool.py", "scripts/verdict_classes.py",
    "surfaceviz/comparison",
)  # fmt: skip


def _cached_array(name: str, measure: Callable[[], FloatArray]) -> FloatArray:
    path = KEPT / f"{name}-{key_of(_NETWORKS)}.npy"
    if not path.exists():
        _replace(path, lambda file: np.save(file, measure()))
        print(f"{name}: 2 x {TRUTH} directions", flush=True)
    found: FloatArray = np.load(path)
    return found


def cached(name: str, compute: Callable[[], Any]) -> Any:
    """Return a result in JSON's types, computed once for one version of the code."""
    path = KEPT / f"{name.replace(', ', '-').replace(' ', '_')}-{key_of(_ALL)}.json"
    if not path.exists():
        found = compute()
        _replace(path, lambda file: file.write(json.dumps(found).encode()))
    return json.loads(path.read_text())


def _replace(path: Path, write: Callable[[Any], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        write(file)
    part.replace(path)


def log_ratios(members: Sequence[Member]) -> FloatArray:
    """Return the true log(a / b) of all pairs, as they are and in the gauge, (n, n, 2, 3)."""
    logs = np.log(np.stack([each.truth for each in members]))
    ratios: FloatArray = logs[:, None] - logs[None]
    return ratios
