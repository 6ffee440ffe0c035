"""The kind of a critical point, as far as the eigenvalues prove it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surfaceviz.records import FloatArray

ZERO = 1e-6  # of ||H||: a smaller eigenvalue counts as 0
CRITICAL = 1e-6  # of the loss's scale: a gradient up to this counts as 0; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class PointEvidence:
    """The numbers that decide the kind of a point.

    Attributes:
        gradient_norm: norm of the loss's gradient.
        loss_scale: loss to compare a gradient with: the loss of a guess, or the loss itself, or 1.
        theta_norm: max(1, ||theta||); ||H|| times this is a scale for gradients, too.
        eigenvalues: the known ones, ascending; each is a Rayleigh quotient, so its sign is proved.
        norm: ||H||.
        complete: whether these are all eigenvalues.
        products: number of matrix-vector products used.
        operator: ``hessian`` or ``ggn``.
        subset: the pattern of the parameters, if these are not all.
        sought_below: whether the smallest eigenvalues were looked for.
    """

    gradient_norm: float
    loss_scale: float
    theta_norm: float
    eigenvalues: FloatArray
    norm: float
    complete: bool
    products: int
    operator: str = "hessian"
    subset: str = ""
    sought_below: bool = True


def classify_point(evidence: PointEvidence) -> tuple[str, str]:
    """Return (kind, reason).

    The kind is ``not a critical point`` if the gradient norm exceeds 1e-6 of the loss's scale or of ||H|| ||theta||.
    Otherwise, all eigenvalues give ``local minimum``, ``local maximum``, ``saddle``, ``degenerate saddle`` (some are 0)
    or ``inconclusive`` (some are 0, the others have one sign: x^2 + y^4 and x^2 - y^4 share their Hessian). Some of the
    eigenvalues give ``saddle`` or ``inconclusive``. An eigenvalue within 1e-6 ||H|| of 0 counts as 0.

    >>> evidence = PointEvidence(
    ...     gradient_norm=0.0, loss_scale=1.0, theta_norm=1.0, eigenvalues=np.array([-2.0, 10.0]), norm=10.0,
    ...     complete=True, products=2,
    ... )
    >>> classify_point(evidence)
    ('saddle', 'the gradient is 0; of 2 eigenvalues 1 is negative, 1 positive')
    """
    tolerance, of = _tolerance(evidence)
    if not evidence.gradient_norm <= tolerance:
        return "not a critical point", (
            f"the gradient has norm {evidence.gradient_norm:.3g}, over {tolerance:.2g} ({CRITICAL:g} of {of})"
            + ("" if evidence.operator == "ggn" else f"; {_signs(evidence)}")
        )
    critical = "the gradient is 0" + ("" if evidence.gradient_norm == 0 else f" within {tolerance:.2g}")
    if evidence.subset:
        return "inconclusive", f"over the parameters {evidence.subset} alone {critical}; {_signs(evidence)}"
    if evidence.operator == "ggn":
        return "inconclusive", f"{critical}; a Gauss-Newton matrix does not tell what kind a point is: take the hessian"
    negative, zero, positive = _counts(evidence)
    reason = f"{critical}; {_signs(evidence)}"
    if negative and positive:
        return "degenerate saddle" if evidence.complete and zero else "saddle", reason
    if evidence.complete and not zero and evidence.norm > 0:
        return "local minimum" if positive else "local maximum", reason
    return "inconclusive", reason + (": along the zeros higher derivatives decide" if evidence.complete else "")


def _tolerance(evidence: PointEvidence) -> tuple[float, str]:
    """Return the largest gradient norm that counts as 0, and a text that names its scale."""
    loss, curvature = evidence.loss_scale, evidence.norm * evidence.theta_norm
    if 0 < curvature < loss:
        return CRITICAL * curvature, f"||H|| ||theta||, {curvature:.3g}"
    return CRITICAL * loss, f"the loss's scale {loss:.3g}"


def _counts(evidence: PointEvidence) -> tuple[int, int, int]:
    """Return the numbers of negative, zero and positive eigenvalues."""
    values, tau = evidence.eigenvalues, ZERO * evidence.norm
    negative, positive = int(np.count_nonzero(values < -tau)), int(np.count_nonzero(values > tau))
    return negative, len(values) - negative - positive, positive


def _signs(evidence: PointEvidence) -> str:
    """Return a text on the signs of the eigenvalues."""
    negative, zero, positive = _counts(evidence)
    if evidence.complete:
        named = [(negative, "negative"), (zero, "0"), (positive, "positive")]
        parts = [f"{count} {'is' if count == 1 else 'are'} {word}" for count, word in named if count]
        # the verb appears once: "1 is negative, 1 positive"
        text = ", ".join([parts[0], *(part.replace(" is ", " ").replace(" are ", " ") for part in parts[1:])])
        return f"of {len(evidence.eigenvalues)} eigenvalues {text}"
    if negative and positive:
        return f"the curvature has both signs ({evidence.eigenvalues[0]:.3g} and {evidence.eigenvalues[-1]:.3g})"
    if negative:
        return f"there is negative curvature ({evidence.eigenvalues[0]:.3g}), and no positive was found"
    if not evidence.sought_below:
        return "negative curvature was not looked for"
    return f"no negative curvature was found in {evidence.products} products, which does not prove that there is none"
