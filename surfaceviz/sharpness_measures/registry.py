"""All sharpness measures by name: title, unit, invariances and function of each.

To add a measure, write its function in a module of this package and add one entry to `MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from surfaceviz.sharpness_measures.hessian_measures import measure_hessian
from surfaceviz.sharpness_measures.measurements import Measurement
from surfaceviz.sharpness_measures.objective import Objective, Theta
from surfaceviz.sharpness_measures.random_perturbations import expected_rise, width
from surfaceviz.sharpness_measures.theta_curvature import theta_curvature
from surfaceviz.sharpness_measures.worst_case import m_sharpness, phi

_SCALED_TO_FILTERS = ("layer", "batch norm")


@dataclass(frozen=True, kw_only=True)
class MeasurePoint:
    """The weights at which measures are evaluated.

    Attributes:
        objective: the loss.
        theta: the weights and buffers.
        seed: seed of all random numbers.
        vectors: bytes for the Lanczos basis.
    """

    objective: Objective
    theta: Theta
    seed: int
    vectors: int

    @cached_property
    def hessian(self) -> dict[str, Measurement]:
        """The measures of the Hessian; they share their products."""
        return measure_hessian(self.objective, self.theta, seed=self.seed, vectors=self.vectors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A sharpness measure.

    Attributes:
        title: its title in tables.
        unit: ``loss``, ``%``, ``1`` or a formula; theta stands for the unit of the weights.
        evaluate: returns the measurement at given weights.
        invariances: kinds of rescalings (see `rescalings`) that never change it.
    """

    title: str
    unit: str
    evaluate: Callable[[MeasurePoint], Measurement]
    invariances: tuple[str, ...] = ()


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
        title="phi in %, eps 1e-3", unit="%", evaluate=lambda at: phi(at.objective, at.theta, eps=1e-3),
    ),
    "phi_5e-4": Measure(
        title="phi in %, eps 5e-4", unit="%", evaluate=lambda at: phi(at.objective, at.theta, eps=5e-4),
    ),
    "m_sharpness": Measure(
        title="m-sharpness, rho 0.05", unit="loss", evaluate=lambda at: m_sharpness(at.objective, at.theta),
    ),
    "expected_rise": Measure(
        title="rise at sigma 0.1", unit="loss", evaluate=lambda at: expected_rise(at.objective, at.theta, seed=at.seed),
        invariances=_SCALED_TO_FILTERS,
    ),
    "width": Measure(
        title="width at rise 0.1", unit="1", evaluate=lambda at: width(at.objective, at.theta, seed=at.seed),
        invariances=_SCALED_TO_FILTERS,
    ),
    "theta_curvature": Measure(
        title="theta' H theta", unit="loss", evaluate=lambda at: theta_curvature(at.objective, at.theta),
        invariances=("layer", "neuron", "batch norm"),
    ),
}  # fmt: skip
