"""All sharpness measures by name: title, unit, invariances and function of each.

To add a measure, write its function in a module of this package and add one entry to `MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.sharpness_measures.hessian_measures import measure_hessian
from surfaceviz.sharpness_measures.measurements import Measurement
from surfaceviz.sharpness_measures.random_perturbations import expected_rise, width
from surfaceviz.sharpness_measures.search import SearchSpec
from surfaceviz.sharpness_measures.theta_curvature import theta_curvature
from surfaceviz.sharpness_measures.worst_case import m_sharpness, phi_in_boxes

_SCALED_TO_FILTERS = ("layer", "batch norm")
_BOXES = {"5e-4": 5e-4, "1e-3": 1e-3}  # from small to large
_SEARCHED = "the highest rise found, from theta, up to six samples and {starts}; the maximum is at least that"
_PAPER = "the highest rise that ten iterations of L-BFGS-B from theta find, as in Keskar et al."
_SAM = "the rise after one step uphill, as SAM estimates the maximum in the ball"
_FIRST = (
    "the first crossing, looked for at distances 9% apart from 1/256 of it on (of 1, if it is longer); narrower or "
    "nearer humps may be missed"
)


@dataclass(frozen=True, kw_only=True)
class MeasurePoint:
    """The weights at which measures are evaluated.

    Attributes:
        objective: the loss.
        theta: the weights and buffers.
        seed: seed of all random numbers.
        vectors: bytes for the Lanczos basis.
        search_spec: the effort of searches for the worst case.
    """

    objective: Objective
    theta: Theta
    seed: int
    vectors: int
    search_spec: SearchSpec

    @cached_property
    def hessian(self) -> dict[str, Measurement]:
        """The measures of the Hessian; they share their products."""
        return measure_hessian(self.objective, self.theta, seed=self.seed, vectors=self.vectors)

    @cached_property
    def worst_case(self) -> dict[str, Measurement]:
        """The measures of the worst case, each with that of its paper's procedure; they share their evaluations."""
        found = phi_in_boxes(self.objective, self.theta, list(_BOXES.values()), self.search_spec)
        named = {f"phi_{name}": pair for name, pair in zip(_BOXES, found, strict=True)}
        named["m_sharpness"] = m_sharpness(self.objective, self.theta, self.search_spec)
        highest = {key: pair[0] for key, pair in named.items()}
        return highest | {f"{key}_paper": pair[1] for key, pair in named.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A sharpness measure.

    Attributes:
        title: its title in tables.
        unit: ``loss``, ``%``, ``1`` or a formula; theta stands for the unit of the weights.
        evaluate: returns the measurement at given weights.
        invariances: kinds of rescalings (see `rescalings`) that never change it.
        basis: what the value rests on, for the user.
    """

    title: str
    unit: str
    evaluate: Callable[[MeasurePoint], Measurement]
    invariances: tuple[str, ...] = ()
    basis: str = ""


MEASURES = {
    "lambda_max": Measure(
        title="lambda_max of H", unit="loss / theta^2", evaluate=lambda at: at.hessian["lambda_max"],
    ),
    "trace": Measure(title="trace of H", unit="loss / theta^2", evaluate=lambda at: at.hessian["trace"]),
    "lambda_max_normalised": Measure(
        title="lambda_max of DHD", unit="loss", evaluate=lambda at: at.hessian["lambda_max_normalised"],
        invariances=_SCALED_TO_FILTERS,
    ),
    "trace_normalised": Measure(
        title="trace of DHD", unit="loss", evaluate=lambda at: at.hessian["trace_normalised"],
        invariances=_SCALED_TO_FILTERS,
    ),
    "phi_1e-3": Measure(
        title="phi in %, eps 1e-3", unit="%", evaluate=lambda at: at.worst_case["phi_1e-3"], basis=_SEARCHED,
    ),
    "phi_1e-3_paper": Measure(
        title="paper's phi, eps 1e-3", unit="%", evaluate=lambda at: at.worst_case["phi_1e-3_paper"], basis=_PAPER,
    ),
    "phi_5e-4": Measure(
        title="phi in %, eps 5e-4", unit="%", evaluate=lambda at: at.worst_case["phi_5e-4"], basis=_SEARCHED,
    ),
    "phi_5e-4_paper": Measure(
        title="paper's phi, eps 5e-4", unit="%", evaluate=lambda at: at.worst_case["phi_5e-4_paper"], basis=_PAPER,
    ),
    "m_sharpness": Measure(
        title="m-sharpness, rho 0.05", unit="loss", evaluate=lambda at: at.worst_case["m_sharpness"], basis=_SEARCHED,
    ),
    "m_sharpness_paper": Measure(
        title="SAM's step, rho 0.05", unit="loss", evaluate=lambda at: at.worst_case["m_sharpness_paper"], basis=_SAM,
    ),
    "expected_rise": Measure(
        title="rise at sigma 0.1", unit="loss", evaluate=lambda at: expected_rise(at.objective, at.theta, seed=at.seed),
        invariances=_SCALED_TO_FILTERS,
    ),
    "width": Measure(
        title="width at rise 0.1", unit="1", evaluate=lambda at: width(at.objective, at.theta, seed=at.seed),
        invariances=_SCALED_TO_FILTERS, basis=_FIRST,
    ),
    "theta_curvature": Measure(
        title="theta' H theta", unit="loss", evaluate=lambda at: theta_curvature(at.objective, at.theta),
        invariances=("layer", "neuron", "batch norm"),
    ),
}  # fmt: skip
