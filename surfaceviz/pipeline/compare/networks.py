"""The networks of a comparison: their slices' requests, and the objective of their measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from surfaceviz import store
from surfaceviz.errors import ProblemError, StoreError
from surfaceviz.pipeline.compare.request import CompareRequest, NetworkSpec
from surfaceviz.pipeline.hessian.points import targets_of
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.slice_requests import slice_request
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.records import Slice

Say = Callable[[str], None]

FINGERPRINTS = ("weights_sha256", "data_sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network, ready to be sliced.

    Attributes:
        spec: what the user named.
        slice: the request of its slices, without directions, axes and output.
        split: the split whose loss is compared.
        given: the slice in the user's file, if there is one.
    """

    spec: NetworkSpec
    slice: Request
    split: str
    given: Slice | None = None


def network_of(spec: NetworkSpec, request: CompareRequest, say: Say) -> Network:
    """Return a network with the request of its slices.

    Raises:
        SurfacevizError: a file can't be read, is not finished, or does not name its problem; there is no such split.
    """
    splits = () if request.split is None else (request.split,)
    if spec.file is None:
        assert spec.problem is not None
        # a name that is wrong is refused before the work
        problem = resolve(spec.problem, request.data) if isinstance(spec.problem, str) else spec.problem
        own = Request.of(
            spec.problem, weights=spec.weights, data=request.data, splits=splits, samples=request.samples,
            device=request.device,
        )  # fmt: skip
        return Network(spec=spec, slice=own, split=_compared_split(spec, request, problem.splits))
    surface = store.read(spec.file)
    if not surface.complete or surface.unaudited:
        left = f"{surface.done} of {surface.origin.size} points" if not surface.complete else "no audit yet"
        raise StoreError(f"{spec.file} is not finished ({left}); run its command again, which resumes")
    asked = HessianRequest.of(
        spec.file, problem=request.problem, data=request.data, device=request.device, trust=request.trust
    )
    stored = slice_request(asked, surface, say)
    samples = request.samples if request.samples is not None else stored.samples
    return Network(
        spec=spec, given=surface, split=_compared_split(spec, request, surface.splits),
        slice=replace(stored, splits=splits or stored.splits, samples=samples, dtype=None),
    )  # fmt: skip


def _compared_split(spec: NetworkSpec, request: CompareRequest, splits: Sequence[str]) -> str:
    if request.split is not None and request.split not in splits:
        raise ProblemError(f"{spec.name} has no split {request.split!r}; it has {', '.join(splits)}. Name one of these")
    return request.split or splits[0]


def check_splits(networks: Sequence[Network]) -> None:
    """Refuse networks whose compared splits have different names.

    Raises:
        ProblemError: they have.
    """
    first = networks[0]
    for other in networks[1:]:
        if other.split != first.split:
            raise ProblemError(
                f"the loss of {first.spec.name} is of the split {first.split}, that of {other.spec.name} of "
                f"{other.split}; name one that both have by --split"
            )


def data_line(networks: Sequence[Network], prints: Sequence[Mapping[str, str]]) -> str:
    """Return a line if networks have different data, which no verdict compares; else an empty text."""
    first = prints[0]["data_sha256"]
    others = [n.spec.name for n, each in zip(networks, prints, strict=True) if each["data_sha256"] != first]
    if not others:
        return ""
    return (
        f"{', '.join(others)} {'is' if len(others) == 1 else 'are'} on other data, samples or splits than "
        f"{networks[0].spec.name}: pictures are drawn, but every verdict on them will be 'not comparable'"
    )


def fingerprints_of(network: Network) -> dict[str, str]:
    """Return the fingerprints of a network's weights and data as they are now."""
    found = make_plan(network.slice, lambda _line: None).identity
    return {key: str(found[key]) for key in FINGERPRINTS}


def targets_of_network(network: Network, request: CompareRequest, split: str) -> HessianTargets:
    """Return the targets of a network's measures: its weights, and the samples of a split, in float64."""
    own = network.slice
    asked = HessianRequest.of(
        own.problem, weights=own.weights, data=own.data, split=split, samples=own.limit, draws=own.draws,
        noise_seed=own.noise_seed, device=request.device, dtype="float64",
    )  # fmt: skip
    return targets_of(asked, lambda _line: None, 0)
