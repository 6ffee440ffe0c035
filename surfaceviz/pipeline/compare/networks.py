"""The networks of a comparison: their slices' requests, and the objective of their measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from surfaceviz import store
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
        SurfacevizError: a file can't be read, or does not name its problem.
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
        return Network(spec=spec, slice=own, split=request.split or problem.splits[0])
    surface = store.read(spec.file)
    asked = HessianRequest.of(
        spec.file, problem=request.problem, data=request.data, device=request.device, trust=request.trust
    )
    stored = slice_request(asked, surface, say)
    samples = request.samples if request.samples is not None else stored.samples
    return Network(
        spec=spec, given=surface, split=request.split or surface.splits[0],
        slice=replace(stored, splits=splits or stored.splits, samples=samples, dtype=None),
    )  # fmt: skip


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
