"""What sort of point it is, in words that claim no more than the eigenvalues prove."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surfaceviz.records import FloatArray

ZERO = 1e-6  # of ||H||: what is smaller counts as 0
CRITICAL = 1e-6  # of the loss's scale: a gradient up to this counts as 0; ours


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a point.

    Attributes:
        gradient_norm: of the loss.
        scale: of the loss, that a gradient is compared with: that of a guess, or the loss itself, or 1.
        size: ||theta||, or 1 where that is more: ||H|| times it is a gradient, too.
        eigenvalues: those that were found, ascending; each is a Rayleigh quotient, so that its sign is proved.
        norm: ||H||.
        whole: whether these are all eigenvalues.
        products: how long was looked.
        operator: ``hessian`` or ``ggn``.
        part: the pattern of the parameters, where these are not all.
    """

    gradient_norm: float
    scale: float
    size: float
    eigenvalues: FloatArray
    norm: float
    whole: bool
    products: int
    operator: str = "hessian"
    part: str = ""


def classify_point(evidence: Evidence) -> tuple[str, str]:
    """Return (kind, reason).

    ``not a critical point`` above a gradient norm of 1e-6 of the loss's scale or of ||H|| ||theta||; else, from all
    eigenvalues, ``local minimum``, ``local maximum``, ``saddle``, ``degenerate saddle`` (with zeros) or
    ``inconclusive`` (zeros beside one sign: x^2 + y^4 and x^2 - y^4 share their Hessian); from some of them ``saddle``
    or ``inconclusive``. Zero is what lies within 1e-6 ||H||.

    >>> kind_of_point(Evidence(0.0, 1.0, 1.0, np.array([-2.0, 10.0]), 10.0, True, 2))
    ('saddle', 'the gradient is 0; of 2 eigenvalues 1 is negative, 1 positive')
    """
    tolerance, of = _tolerance(evidence)
    if not evidence.gradient_norm <= tolerance:
        return "not a critical point", (
            f"the gradient has norm {evidence.gradient_norm:.3g}, over {tolerance:.2g} ({CRITICAL:g} of {of})"
            + ("" if evidence.operator == "ggn" else f"; {_signs(evidence)}")
        )
    critical = "the gradient is 0" + ("" if evidence.gradient_norm == 0 else f" within {tolerance:.2g}")
    if evidence.part:
        return "inconclusive", f"over the parameters {evidence.part} alone {critical}; {_signs(evidence)}"
    if evidence.operator == "ggn":
        return "inconclusive", f"{critical}; a Gauss-Newton matrix does not tell what kind a point is: take the hessian"
    negative, zero, positive = _counts(evidence)
    reason = f"{critical}; {_signs(evidence)}"
    if negative and positive:
        return "degenerate saddle" if evidence.whole and zero else "saddle", reason
    if evidence.whole and not zero and evidence.norm > 0:
        return "local minimum" if positive else "local maximum", reason
    return "inconclusive", reason + (": along the zeros higher derivatives decide" if evidence.whole else "")


def _tolerance(evidence: Evidence) -> tuple[float, str]:
    """Return the gradient norm up to which it counts as 0, and of what it is a share, in words."""
    loss, bend = evidence.scale, evidence.norm * evidence.size
    if 0 < bend < loss:
        return CRITICAL * bend, f"||H|| ||theta||, {bend:.3g}"
    return CRITICAL * loss, f"the loss's scale {loss:.3g}"


def _counts(evidence: Evidence) -> tuple[int, int, int]:
    """Return the numbers of negative, zero and positive eigenvalues."""
    values, tau = evidence.eigenvalues, ZERO * evidence.norm
    negative, positive = int(np.count_nonzero(values < -tau)), int(np.count_nonzero(values > tau))
    return negative, len(values) - negative - positive, positive


def _signs(evidence: Evidence) -> str:
    negative, zero, positive = _counts(evidence)
    if evidence.whole:
        named = [(negative, "negative"), (zero, "0"), (positive, "positive")]
        parts = [f"{count} {'is' if count == 1 else 'are'} {word}" for count, word in named if count]
        # "1 is negative, 1 is positive" reads once
        text = ", ".join([parts[0], *(part.replace(" is ", " ").replace(" are ", " ") for part in parts[1:])])
        return f"of {len(evidence.eigenvalues)} eigenvalues {text}"
    if negative and positive:
        return f"the curvature has both signs ({evidence.eigenvalues[0]:.3g} and {evidence.eigenvalues[-1]:.3g})"
    if negative:
        return f"there is negative curvature ({evidence.eigenvalues[0]:.3g}), and no positive was found"
    return f"no negative curvature was found in {evidence.products} products, which does not prove that there is none"
