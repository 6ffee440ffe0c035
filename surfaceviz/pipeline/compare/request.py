"""The request for a comparison: the user's options. Importing this module does not import torch."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from surfaceviz.directions.axes import Axes, parse_axis
from surfaceviz.options import AUTO
from surfaceviz.pipeline.hessian.request import file_of
from surfaceviz.start_folder import anchored

if TYPE_CHECKING:
    from surfaceviz.problem.problem import Problem

_FEWEST = 2  # networks of a comparison, and directions of an interval


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """One set of weights that is compared.

    Attributes:
        name: its name in tables and pictures.
        group: the name of its group; its own name where it is compared as a single training.
        problem: a problem or its name; None for a slice's file.
        weights: ``FILE[:KEY]``; None for the problem's own.
        file: the slice's file, if the target is one.
    """

    name: str
    group: str
    problem: str | Problem | None
    weights: str | None = None
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """The user's options for a comparison.

    Attributes:
        networks: what is compared, group by group.
        data: folder of a catalogue problem's data.
        split: the split whose loss is compared; None for the first.
        samples: size of a seeded subset of each split; None for all.
        directions: number of random directions of each network along which its rise is taken.
        rays: number of them along which slices are cut.
        axes: of the planes; None for the common range that is found.
        points: number of points along each axis of a plane, where the range is found.
        seed: seed of directions, probes and subsets.
        tol: relative error up to which points of planes may be interpolated; None for none.
        gauge: whether networks are brought to one gauge as well.
        worst_case: whether the searches for the worst case are made.
        spectra: whether the spectrum at each centre is computed.
        grid: number of points along each axis of the maps of |lambda_min / lambda_max|; 0 for none.
        device: a torch device name, or ``auto``.
        problem: the problem of files that do not name theirs.
        trust: whether the user confirms the names in files.
        output: the HDF5 file.
        overwrite: whether other results in it are replaced.
    """

    networks: tuple[NetworkSpec, ...]
    data: str | None
    split: str | None
    samples: int | None
    directions: int
    rays: int
    axes: Axes | None
    points: int
    seed: int
    tol: float | None
    gauge: bool
    worst_case: bool
    spectra: bool
    grid: int
    device: str
    problem: str | Problem | None
    trust: bool
    output: Path
    overwrite: bool

    @classmethod
    def of(
        cls,
        targets: Sequence[str | Path | Problem] = (),
        *,
        groups: Sequence[str] | None = None,
        weights: str | Sequence[str] | None = None,
        problem: str | Problem | None = None,
        data: str | None = None,
        split: str | None = None,
        samples: int | None = None,
        directions: int | None = None,
        axes: Sequence[str | Sequence[float]] | None = None,
        seed: int = 0,
        tol: float | None = None,
        grid: int | None = None,
        quick: bool = False,
        device: str = AUTO,
        output: str | Path | None = None,
        overwrite: bool = False,
        trust: bool = False,
    ) -> CompareRequest:
        """Return the request that raw options describe; their defaults are defined only here.

        Raises:
            ValueError: an option is invalid, or fewer than two networks are named.
        """
        from surfaceviz.comparison import effort  # noqa: PLC0415  imports numpy; --help must stay fast

        most, rays = (effort.QUICK_DIRECTIONS, effort.QUICK_RAYS) if quick else (effort.DIRECTIONS, effort.RAYS)
        listed = (weights,) if isinstance(weights, str) else tuple(weights or ())
        networks = (*_singles(targets, listed), *_grouped(groups or (), problem))
        return cls(
            networks=networks,
            data=data,
            split=split,
            samples=effort.QUICK_SAMPLES if quick and samples is None else samples,
            directions=most if directions is None else directions,
            rays=rays,
            axes=tuple(parse_axis(each) for each in axes) if axes else None,
            points=13 if quick else 25,
            seed=seed,
            tol=tol,
            gauge=not quick,
            worst_case=not quick,
            spectra=not quick or bool(grid),
            grid=(0 if quick else effort.MAP_POINTS) if grid is None else grid,
            device=device,
            problem=problem,
            trust=trust,
            output=anchored(output if output is not None else f"{_output_stem(networks)}.h5"),
            overwrite=overwrite,
        )

    def __post_init__(self) -> None:
        """Check the options before anything is built."""
        for name, count in Counter(network.name for network in self.networks).items():
            if count > 1:
                raise ValueError(f"got {name!r} {count} times; compare different networks, or give them other names")
        if len(self.groups) < _FEWEST:
            raise ValueError(
                f"got {len(self.networks)} to compare; give two or more slices' files, problems, or groups of trainings"
            )
        sizes = {name: len(members) for name, members in self.groups.items()}
        alone, larger = min(sizes, key=lambda name: sizes[name]), max(sizes, key=lambda name: sizes[name])
        if sizes[alone] == 1 < sizes[larger]:
            raise ValueError(
                f"{alone} is one training, {larger} a group of {sizes[larger]}; trainings are the unit only where each "
                "side has two or more: give a --group for each side"
            )
        if self.directions < _FEWEST:
            raise ValueError(f"directions must be at least {_FEWEST}, got {self.directions}")
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")
        if self.grid < 0 or self.grid == 1:
            raise ValueError(f"map: expected 2 or more points along each axis, or 0 for no maps, got {self.grid}")
        if self.axes is not None and len(self.axes) != 2:  # noqa: PLR2004
            raise ValueError(
                f"a comparison's planes have 2 axes, got {len(self.axes)}; give --axis twice, or not at all"
            )

    @property
    def measures_in_words(self) -> str:
        """What is measured of each network apart from its slices."""
        parts = [
            f"rises along {self.directions} directions",
            "curvature",
            *(["worst cases"] if self.worst_case else []),
        ]
        return ", ".join(parts) + ("; as it is and in the gauge" if self.gauge else "")

    @property
    def groups(self) -> dict[str, tuple[int, ...]]:
        """Name of each group -> the numbers of its networks, in order."""
        found: dict[str, tuple[int, ...]] = {}
        for number, network in enumerate(self.networks):
            found[network.group] = (*found.get(network.group, ()), number)
        return found


def _singles(targets: Sequence[str | Path | Problem], weights: tuple[str, ...]) -> list[NetworkSpec]:
    """Return the networks of targets; several checkpoints belong to one problem.

    Raises:
        ValueError: there are weights, and not one problem.
    """
    if weights:
        if len(targets) != 1 or file_of(targets[0]) is not None:
            raise ValueError(f"weights belong to one problem; got {len(targets)} targets")
        return [_single(targets[0], name, each) for name, each in zip(_short(weights), weights, strict=True)]
    names = _short([each if isinstance(each, str | Path) else each.name or "model" for each in targets])
    return [_single(target, name, None) for target, name in zip(targets, names, strict=True)]


def _single(target: str | Path | Problem, name: str, weights: str | None) -> NetworkSpec:
    file = file_of(target)
    problem = None if file is not None else str(target) if isinstance(target, Path) else target
    return NetworkSpec(name=name, group=name, problem=problem, weights=weights, file=file)


def _grouped(groups: Sequence[str], problem: str | Problem | None) -> list[NetworkSpec]:
    """Return the networks of ``NAME=PATTERN``.

    Raises:
        ValueError: no name, no file of that pattern, or weights without a problem.
    """
    found = []
    for text in groups:
        group, equals, pattern = text.partition("=")
        if not (group and equals and pattern):
            raise ValueError(f"group: got {text!r}; expected NAME=PATTERN, such as 'plain=runs/plain-*'")
        paths = sorted(glob.glob(str(anchored(pattern))))  # noqa: PTH207  the pattern may be absolute
        if len(paths) < _FEWEST:
            count = f"{len(paths)} training{'s' * (len(paths) != 1)}"
            raise ValueError(f"group {group}: {pattern} matches {count}; a group has two or more")
        found += [_member(Path(path), group, name, problem) for path, name in zip(paths, _short(paths), strict=True)]
    return found


def _member(path: Path, group: str, name: str, problem: str | Problem | None) -> NetworkSpec:
    """Return a training of a group: a slice's file, a folder of `surfaceviz train`, or weights."""
    label = f"{group}/{name}"
    if file_of(path) is not None:
        return NetworkSpec(name=label, group=group, problem=None, file=path)
    if path.is_dir():
        return NetworkSpec(name=label, group=group, problem=str(path))
    if problem is None and not (path.parent / "training.json").is_file():
        raise ValueError(f"group {group}: {path.name} holds weights; name their problem by --problem FILE.py:FACTORY")
    own = problem if problem is not None else str(path.parent)
    return NetworkSpec(name=label, group=group, problem=own, weights=str(path))


def _short(names: Sequence[str | Path]) -> list[str]:
    """Return short names: the last part of each path that tells them apart."""
    paths = [Path(str(name)) for name in names]
    for depth in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        short = ["/".join(path.parts[-depth:]) for path in paths]
        short = [name.removesuffix(".h5").removesuffix(".safetensors").removesuffix(".pt") for name in short]
        if len(set(short)) == len(short):
            return short
    return [str(name) for name in names]


def _output_stem(networks: Sequence[NetworkSpec]) -> str:
    names = list(dict.fromkeys(network.group for network in networks))
    return "-vs-".join(name.replace("/", "-").replace(":", "-") for name in names[:3]) or "comparison"
