"""The kind of a critical point, as far as the eigenvalues and Newton's step prove it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray

STEP = 1e-6  # of max(1, ||theta||): a Newton step up to this counts as 0; ours
_ROUNDINGS = 100  # units in the last place of ||H|| that an eigenvalue must exceed to have a sign; ours
NOT_CRITICAL = "not a critical point"
INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class PointEvidence:
    """The numbers that decide the kind of a point.

    Attributes:
        gradient_norm: norm of the loss's gradient.
        rounding: a bound on the error of that norm by rounding.
        theta_norm: max(1, ||theta||), the scale of steps.
        slopes: components of the gradient along the eigenvectors, (k,).
        eigenvalues: the known ones, ascending, (k,); each is a Rayleigh quotient, so its sign is proved.
        residuals: their residuals, (k,).
        norm: ||H||.
        eps: spacing of the numbers of the computation at 1.
        complete: whether these are all eigenvalues.
        products: number of matrix-vector products used.
        operator: ``hessian`` or ``ggn``.
        subset: the pattern of the parameters, if these are not all.
        counts: the numbers of negative, zero and positive eigenvalues of the whole matrix, if they are known.
        sought_below: whether the smallest eigenvalues were looked for.
        matrix_error: a bound on the error of the eigenvalues by the dtype of the computation, where it is known.
    """

    gradient_norm: float
    rounding: float
    theta_norm: float
    slopes: FloatArray
    eigenvalues: FloatArray
    residuals: FloatArray
    norm: float
    eps: float = 2.0**-52
    complete: bool
    products: int
    operator: str = "hessian"
    subset: str = ""
    counts: tuple[int, int, int] | None = None
    sought_below: bool = True
    matrix_error: float = 0.0

    @property
    def zero(self) -> FloatArray:
        """The largest |eigenvalue| that can't be told from 0, (k,): its rounding, and its residual if it must hold."""
        rounding = max(zero_level(self.norm, self.eps), self.matrix_error)
        return rounding + (self.residuals if self.complete else 0 * self.residuals)

    @property
    def signed(self) -> NDArray[np.bool_]:
        """Whether an eigenvalue has a sign, (k,)."""
        return np.asarray(np.abs(self.eigenvalues) > self.zero)

    @property
    def far(self) -> NDArray[np.bool_]:
        """Whether Newton's step along an eigenvector is too long, or not defined and the slope is not 0, (k,)."""
        allowed = np.where(self.signed, STEP * self.theta_norm * np.abs(self.eigenvalues), 0.0)
        return np.asarray(~(np.abs(self.slopes) <= allowed))

    @property
    def weak(self) -> NDArray[np.bool_]:
        """Whether an eigenvalue has a sign, but is so small that the gradient's rounding hides the slope, (k,)."""
        return self.signed & self.far & (np.abs(self.slopes) <= self.rounding)


def zero_level(norm: float, eps: float = 2.0**-52) -> float:
    """Return the |eigenvalue| that rounding can't tell from 0, for a matrix of a norm."""
    return _ROUNDINGS * eps * norm


def classify_point(evidence: PointEvidence) -> tuple[str, str]:
    """Return (kind, reason).

    Along each eigenvector Newton's step |g_i / lambda_i| must be at most 1e-6 max(1, ||theta||), or the slope g_i
    must be 0 within its rounding; else the kind is ``not a critical point``. All eigenvalues then give ``local
    minimum``, ``local maximum``, ``saddle``, ``degenerate saddle`` (some are 0) or ``inconclusive`` (some are 0, the
    others have one sign: x^2 + y^4 and x^2 - y^4 share their Hessian). Some of the eigenvalues give ``saddle`` or
    ``inconclusive``. An eigenvalue that its residual and rounding can't tell from 0 counts as 0, and so does one so
    small that the rounding of the slope exceeds the permitted step.

    >>> evidence = PointEvidence(
    ...     gradient_norm=0.0, rounding=0.0, theta_norm=1.0, slopes=np.zeros(2), eigenvalues=np.array([-2.0, 10.0]),
    ...     residuals=np.zeros(2), norm=10.0, complete=True, products=2,
    ... )
    >>> classify_point(evidence)
    ('saddle', 'the gradient is 0; of 2 eigenvalues 1 is negative, 1 positive')
    """
    if not _critical(evidence):
        return NOT_CRITICAL, _slope_words(evidence) + ("" if evidence.operator == "ggn" else f"; {_signs(evidence)}")
    critical = _critical_words(evidence)
    if evidence.subset:
        return INCONCLUSIVE, f"over the parameters {evidence.subset} alone {critical}; {_signs(evidence)}"
    if evidence.operator == "ggn":
        return INCONCLUSIVE, f"{critical}; a Gauss-Newton matrix does not tell what kind a point is: take the hessian"
    negative, zero, positive = _counts(evidence)
    reason = f"{critical}; {_signs(evidence)}"
    if negative and positive:
        return "degenerate saddle" if evidence.complete and zero else "saddle", reason
    if evidence.complete and not zero and evidence.norm > 0:
        return "local minimum" if positive else "local maximum", reason
    return INCONCLUSIVE, reason + (_open_words(evidence) if evidence.complete else "")


def _critical(evidence: PointEvidence) -> bool:
    """Return whether the point is critical: within rounding, or within a short Newton step."""
    if evidence.gradient_norm <= evidence.rounding:
        return True
    if evidence.complete:
        return not bool((evidence.far & ~(np.abs(evidence.slopes) <= evidence.rounding)).any())
    return bool(evidence.gradient_norm <= _partial_tolerance(evidence))


def _partial_tolerance(evidence: PointEvidence) -> float:
    """Return the largest gradient norm that counts as 0 where only some eigenvalues are known."""
    signed = np.abs(evidence.eigenvalues[evidence.signed])
    return max(evidence.rounding, STEP * evidence.theta_norm * float(signed.min(initial=np.inf)) if len(signed) else 0)


def _counts(evidence: PointEvidence) -> tuple[int, int, int]:
    """Return the numbers of negative, zero and positive eigenvalues."""
    values, sure = evidence.eigenvalues, evidence.signed & ~evidence.weak
    negative, positive = int(np.count_nonzero(sure & (values < 0))), int(np.count_nonzero(sure & (values > 0)))
    return negative, len(values) - negative - positive, positive


def _critical_words(evidence: PointEvidence) -> str:
    """Return a text on a gradient that counts as 0."""
    norm = evidence.gradient_norm
    if norm == 0:
        return "the gradient is 0"
    if norm <= evidence.rounding:
        return f"the gradient is 0 within its rounding, {evidence.rounding:.2g}"
    if evidence.complete:
        step = _newton_step(evidence)
        return f"the gradient has norm {norm:.3g}; the critical point lies {step:.2g} away by Newton's step"
    return f"the gradient is 0 within {_partial_tolerance(evidence):.2g}"


def _slope_words(evidence: PointEvidence) -> str:
    """Return a text on a gradient that is not 0."""
    text = f"the gradient has norm {evidence.gradient_norm:.3g}"
    if not evidence.complete or evidence.operator == "ggn":
        scale = f"(rounding, or a Newton step of {STEP:g} max(1, ||theta||))"
        return f"{text}, over {_partial_tolerance(evidence):.2g} {scale}"
    flat = ~evidence.signed & ~(np.abs(evidence.slopes) <= evidence.rounding)
    if flat.any():
        slope = float(np.linalg.norm(evidence.slopes[flat]))
        return f"{text}, of which {slope:.3g} along {_number(int(flat.sum()), 'direction')} without curvature"
    name = {(True, False): "minimum", (False, True): "maximum"}.get(
        (bool((evidence.eigenvalues > 0).all()), bool((evidence.eigenvalues < 0).all())), "critical point"
    )
    return f"{text}; the {name} of the quadratic model lies {_newton_step(evidence):.3g} away"


def _newton_step(evidence: PointEvidence) -> float:
    """Return the length of Newton's step over the eigenvalues that have a sign."""
    sure = evidence.signed
    return float(np.linalg.norm(evidence.slopes[sure] / evidence.eigenvalues[sure]))


def _open_words(evidence: PointEvidence) -> str:
    """Return a text on eigenvalues that are 0 beside others of one sign."""
    negative, _, positive = _counts(evidence)
    weak = int(evidence.weak.sum())
    hidden = f", {weak} of them too small beside the rounding of the gradient" if weak else ""
    across = ", across them it is a " + ("minimum" if positive else "maximum") if positive or negative else ""
    return f"{hidden}: along the zeros higher derivatives decide{across}"


def _signs(evidence: PointEvidence) -> str:
    """Return a text on the signs of the eigenvalues."""
    whole = evidence.complete or evidence.counts is not None
    negative, zero, positive = evidence.counts if not evidence.complete and evidence.counts else _counts(evidence)
    if whole:
        named = [(negative, "negative"), (zero, "0"), (positive, "positive")]
        parts = [f"{count} {'is' if count == 1 else 'are'} {word}" for count, word in named if count]
        # the verb appears once: "1 is negative, 1 positive"
        text = ", ".join([parts[0], *(part.replace(" is ", " ").replace(" are ", " ") for part in parts[1:])])
        return f"of {negative + zero + positive} eigenvalues {text}"
    if negative and positive:
        return f"the curvature has both signs ({evidence.eigenvalues[0]:.3g} and {evidence.eigenvalues[-1]:.3g})"
    if negative:
        return f"there is negative curvature ({evidence.eigenvalues[0]:.3g}), and no positive was found"
    if not evidence.sought_below:
        return "negative curvature was not looked for"
    return f"no negative curvature was found in {evidence.products} products, which does not prove that there is none"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
