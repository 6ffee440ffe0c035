"""The measures that two networks are compared by: scale, favoured end, invariances, and the paper of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from surfaceviz.comparison.intervals import Centre
from surfaceviz.records.verdicts import Scale, Unit

SYMMETRIES = ("layer", "neuron", "batch norm", "permutation", "logits")
RADII = (0.05, 0.1, 0.2)  # of filter-scaled noise; 0.1 is that of `surfaceviz sharpness`, half and double; ours
HELD_OUT = "held_out_loss"  # key of the losses of held-out samples; the gap is made of them
RISE = 0.1  # of the loss, at which the width is taken; ours

CAVEAT = (
    "sharpness and generalisation: no measure of sharpness predicts the generalisation of modern networks across "
    "settings (arXiv 2302.07011); a flatter minimum is not shown to be a better one"
)

_FUNCTION = ("layer", "neuron", "batch norm", "permutation")  # what depends on the function alone
_FILTERS = ("layer", "batch norm", "permutation")  # what is scaled to filters
_RATIO = 0.1  # of a logarithm, about 10%; ours
_SLICES = "filter normalisation: arXiv 1712.09913"
_SEARCHED = "searches for the worst case, each a lower bound of a maximum: their spread does not tell its error"
_ONE_PLANE = "it is of one plane, and no other planes are cut"
_DINH = "rescalings change it: arXiv 1703.04933"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure of a network that a comparison's table has a row for.

    Attributes:
        title: its title in tables.
        scale: ``log``: networks are compared by the ratio; ``linear``: by the difference.
        centre: ``mean``, or ``geometric`` if draws are averaged by their logarithms.
        better: the end that the claim belongs to.
        claim: what the favoured network is called: ``flatter``, ``lower in loss``.
        unit: the draws that the interval of two single networks rests on; empty if there are none.
        invariances: the symmetries that never change it, of `SYMMETRIES`; ``logits`` is any scale of the outputs.
        margin: a difference on the scale that counts as none; ours.
        fixed: why two single networks have no interval; empty where they have one.
        source: the papers that definition and reading rest on.
    """

    title: str
    scale: Scale = "log"
    centre: Centre = "mean"
    better: Literal["low", "high"] = "low"
    claim: str = "flatter"
    unit: Unit | Literal[""] = ""
    invariances: tuple[str, ...] = ()
    margin: float = _RATIO
    fixed: str = ""
    source: str

    @property
    def is_function(self) -> bool:
        """Whether only the scale of the logits, or nothing at all, changes it in one gauge."""
        return set(_FUNCTION) <= set(self.invariances)


def _rise(radius: float) -> Measure:
    return Measure(
        title=f"expected rise, radius {radius:g}", unit="directions", invariances=_FILTERS,
        source=f"expected sharpness: arXiv 1706.08947; {_SLICES}",
    )  # fmt: skip


MEASURES = {
    "loss": Measure(
        title="loss", claim="lower in loss", unit="samples", invariances=_FUNCTION,
        source="temperature changes it: arXiv 1706.04599",
    ),
    "accuracy": Measure(
        title="accuracy", scale="linear", better="high", claim="more accurate", unit="samples",
        invariances=SYMMETRIES, margin=0.005, source="a share of samples",
    ),
    "gap": Measure(
        title="gap, test minus train loss", scale="linear", claim="smaller in gap", unit="samples",
        invariances=_FUNCTION, margin=0.01, source="sharpness does not predict it in general: arXiv 2302.07011",
    ),
    **{f"rise_{radius:g}": _rise(radius) for radius in RADII},
    "width": Measure(
        title=f"width at rise {RISE:g}", centre="geometric", better="high", unit="directions", invariances=_FILTERS,
        source=_SLICES,
    ),
    "lambda_max": Measure(
        title="lambda_max of H", unit="groups of samples", invariances=("permutation",), source=_DINH,
    ),
    "trace": Measure(title="trace of H", unit="directions", invariances=("permutation",), source=_DINH),
    "lambda_max_normalised": Measure(
        title="lambda_max of DHD", unit="groups of samples", invariances=_FILTERS, source=_SLICES,
    ),
    "trace_normalised": Measure(title="trace of DHD", unit="directions", invariances=_FILTERS, source=_SLICES),
    "m_sharpness": Measure(
        title="SAM's m-sharpness, rho 0.05", invariances=("permutation",), fixed=f"it is a mean over {_SEARCHED}",
        source=f"arXiv 2010.01412; {_DINH}",
    ),
    "phi": Measure(
        title="Keskar's phi in %, eps 1e-3", invariances=("permutation",), fixed=f"it comes from {_SEARCHED}",
        source=f"arXiv 1609.04836; {_DINH}",
    ),
    "not_convex": Measure(
        title="share of the plane that is not convex", scale="linear", claim="more convex", unit="directions",
        invariances=_FILTERS, margin=0.05, fixed=_ONE_PLANE,
        source="maps of |lambda_min / lambda_max|: arXiv 1712.09913, section 6.1",
    ),
    "minima": Measure(
        title="minima with persistence above the noise", scale="linear", claim="fewer in minima", unit="directions",
        invariances=_FILTERS, margin=0.5, fixed=_ONE_PLANE,
        source="persistence: Edelsbrunner, Letscher & Zomorodian (2002)",
    ),
}  # fmt: skip
