"""The judgement of a point from its eigenpairs, its gradient, its kinks and one-sided differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature.critical_points.classify import INCONCLUSIVE, NOT_CRITICAL, PointEvidence, classify_point
from surfaceviz.curvature.critical_points.one_sided import OneSidedCheck, ProbeDirection, gradient_jump
from surfaceviz.curvature.lanczos import ExtremeEigenpairs
from surfaceviz.curvature.operator import LossGradient, Operator
from surfaceviz.curvature.sampling_error import SamplingError
from surfaceviz.curvature.spectrum_spec import SpectrumPoint, SpectrumSpec

_ROUNDINGS = 4  # units in the last place of the terms of a gradient; ours
_EIGENVECTORS = 64  # at most so many directions of differences are eigenvectors; ours
_AXES = 16  # parameters up to which the coordinate axes are directions of differences as well; ours
_RANDOM = 4  # random directions; ours
_AGREES = 1e-3  # of the gradient: the largest difference of two sums over the samples; ours
NOT_SMOOTH = "not smooth here"


@dataclass(frozen=True, slots=True, kw_only=True)
class PointJudge:
    """Decides the kind of a point; the operator is at the point.

    Attributes:
        operator: the matrix.
        point: the point.
        spec: the quantities that were computed.
        here: loss and gradient.
        found: the eigenpairs, of D A D if the spec says so.
        error: the sampling error of the gradient, if known.
        counts: the numbers of negative, zero and positive eigenvalues, if all are known.
    """

    operator: Operator
    point: SpectrumPoint
    spec: SpectrumSpec
    here: LossGradient
    found: ExtremeEigenpairs
    error: SamplingError | None
    counts: tuple[int, int, int] | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields of the record on the kind of the point and on its gradient."""
        evidence = self.evidence()
        kind, reason = classify_point(evidence)
        if self.point.judged:
            kind, reason = self._judged(evidence, kind, reason)
        fields = {"kind": kind, "reason": reason, "gradient_norm": evidence.gradient_norm}
        fields |= self._newton(evidence) if self.point.judged and evidence.gradient_norm else {}
        return fields | self._sampling()

    def _sampling(self) -> dict[str, Any]:
        """Return the sampling error, if the groups' gradients sum to the gradient: the loss is a mean over samples."""
        if self.error is None:
            return {}
        norm = float(torch.linalg.vector_norm(self.here.gradient))
        away = float(torch.linalg.vector_norm(self.error.gradient - self.here.gradient))
        if not away <= _AGREES * (norm + self.error.stderr):
            return {}
        return {"gradient_stderr": self.error.stderr, "gradient_groups": self.error.groups}

    def evidence(self) -> PointEvidence:
        """Return the numbers that decide, in the coordinates of the matrix."""
        gradient, scale = self._gradient(), self._scale()
        slopes = self.found.vectors.double() @ gradient
        norm = float(torch.linalg.vector_norm(self.here.gradient))
        return PointEvidence(
            gradient_norm=norm, rounding=self._noise(), theta_norm=scale, slopes=slopes.numpy(),
            eigenvalues=self.found.eigenvalues.numpy(), residuals=self.found.residuals.numpy(),
            norm=self.found.norm, eps=torch.finfo(self.operator.dtype).eps, complete=self.found.complete,
            products=self.found.products, operator=self.spec.operator,
            subset="" if self.point.all_parameters else self.spec.parameters, counts=self.counts,
            matrix_error=self.point.rounding.matrix if self.point.rounding else 0.0,
            sought_below=self.found.complete or self.spec.counts(self.operator.layout.dimension)[1] > 0,
        )  # fmt: skip

    def _gradient(self) -> Tensor:
        return self.here.gradient.mul(self.point.filter_scales if self.spec.normalised else 1.0)

    def _scale(self) -> float:
        """Return the scale of steps: max(1, ||theta||), or that of u in theta = D u."""
        if self.spec.normalised:
            return max(1.0, math.sqrt(int(torch.count_nonzero(self.point.filter_scales))))
        return max(1.0, float(torch.linalg.vector_norm(self.point.theta)))

    def _noise(self) -> float:
        """Return a bound on the rounding of the gradient: of its terms, and of theta; at least what float64 shows."""
        shown = self.point.rounding.gradient if self.point.rounding else 0.0
        terms = max(self.error.terms if self.error else 0.0, float(torch.linalg.vector_norm(self.here.gradient)))
        bound = _ROUNDINGS * torch.finfo(self.operator.dtype).eps * (terms + self.found.norm * self._scale())
        return max(bound, 2 * shown)

    def _judged(self, evidence: PointEvidence, kind: str, reason: str) -> tuple[str, str]:
        """Return kind and reason after the kinks and one-sided differences are considered."""
        check = self._check()
        kinks = f"{self.point.kinks} at a kink or tie exactly" if self.point.kinks else ""
        if kind == NOT_CRITICAL:
            fault = gradient_jump(check, self._random(1)[0])
            return (NOT_SMOOTH, _joined(kinks, fault)) if fault else (kind, reason)
        if self.spec.operator != "ggn":
            check.run(self._directions(evidence, decided=kind != INCONCLUSIVE))
        if check.fault:
            return NOT_SMOOTH, _joined(kinks, check.fault)
        if kinks:
            return INCONCLUSIVE, f"{kinks}, where second derivatives may jump; otherwise: {reason}"
        if kind != INCONCLUSIVE and check.unconfirmed:
            return INCONCLUSIVE, (
                f"{reason}; along {check.unconfirmed} of {check.directions} directions, differences of the gradient "
                "do not confirm the curvature"
            )
        if kind == INCONCLUSIVE:
            return kind, reason
        return kind, f"{reason}; differences of the gradient confirm it to a distance of {check.radius:.2g}"

    def _check(self) -> OneSidedCheck:
        eps = torch.finfo(self.operator.dtype).eps
        scale = max(1.0, float(torch.linalg.vector_norm(self.point.theta)))
        # A small loss may be the difference of large terms; the curvature tells of their size.
        terms = abs(self.here.loss) + self.found.norm * self._scale() ** 2
        return OneSidedCheck(
            at=self.operator.displaced, here=self.here, scale=scale, noise=self._noise(),
            loss_noise=_ROUNDINGS * eps * terms, eps=eps,
        )  # fmt: skip

    def _directions(self, evidence: PointEvidence, *, decided: bool) -> list[ProbeDirection]:
        """Return eigenvectors (the outermost ones), random directions and, for few parameters, the axes."""
        count, dimension = len(evidence.eigenvalues), self.operator.layout.dimension
        outermost = sorted(range(count), key=lambda i: min(i, count - 1 - i))[:_EIGENVECTORS]
        return [
            *(self._along_eigenvector(evidence, i, decided=decided) for i in outermost if self._moves(i)),
            *map(self._along, self._random(_RANDOM)),
            *map(self._along, torch.eye(dimension, dtype=torch.float64) if dimension <= _AXES else ()),
        ]

    def _moves(self, i: int) -> bool:
        """Return whether an eigenvector of D A D moves theta: it may lie in filters of norm 0 and gains only."""
        return not self.spec.normalised or bool((self.point.filter_scales * self.found.vectors[i].double()).any())

    def _along_eigenvector(self, evidence: PointEvidence, i: int, *, decided: bool) -> ProbeDirection:
        value, vector = float(evidence.eigenvalues[i]), self.found.vectors[i].double()
        relied = decided and bool(evidence.signed[i] and not evidence.weak[i])
        if self.spec.normalised:
            direction = self._along(self.point.filter_scales * vector)
            return ProbeDirection(
                vector=direction.vector, product=direction.product,
                curvature=abs(float(direction.vector @ direction.product)) if relied else 0.0,
            )  # fmt: skip
        return ProbeDirection(
            vector=vector, product=value * vector, residual=float(evidence.residuals[i]),
            curvature=abs(value) if relied else 0.0,
            step=abs(float(evidence.slopes[i]) / value) if relied else 0.0,
        )  # fmt: skip

    def _along(self, vector: Tensor) -> ProbeDirection:
        unit = vector / torch.linalg.vector_norm(vector)
        product = self.operator(unit[None].to(self.operator.dtype))[0].double()
        return ProbeDirection(vector=unit, product=product)

    def _random(self, count: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.spec.seed)
        rows = torch.randn((count, self.operator.layout.dimension), generator=generator, dtype=torch.float64)
        return rows.div(torch.linalg.vector_norm(rows, dim=1, keepdim=True))

    def _newton(self, evidence: PointEvidence) -> dict[str, Any]:
        """Return the Newton decrement on the positive eigenpairs, and the curvature along the gradient."""
        g = self.here.gradient
        unit = g / torch.linalg.vector_norm(g)
        curved = float(unit @ self.operator(unit[None].to(self.operator.dtype))[0].double())
        positive = evidence.signed & (evidence.eigenvalues > 0)
        slopes, norm = evidence.slopes[positive], float(torch.linalg.vector_norm(self._gradient()))
        left_out = math.sqrt(max(0.0, 1 - float(np.square(slopes / norm).sum()))) if norm else 0.0
        return {
            "newton_decrement": float((slopes**2 / evidence.eigenvalues[positive]).sum()),
            "newton_pairs": int(positive.sum()),
            "newton_left_out": left_out,
            "gradient_curvature": curved,
        }


def _joined(kinks: str, fault: str) -> str:
    return f"{kinks}: {fault}" if kinks else fault


def judge_point(
    operator: Operator, point: SpectrumPoint, spec: SpectrumSpec, *, here: LossGradient, found: ExtremeEigenpairs,
    counts: tuple[int, int, int] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the kind of a point, the reason, and what is known of its gradient, as fields of a record.

    ``counts`` are the numbers of negative, zero and positive eigenvalues, if all eigenvalues are known.
    """
    error = operator.sampling_error(point.groups)
    judge = PointJudge(operator=operator, point=point, spec=spec, here=here, found=found, error=error, counts=counts)
    return judge.fields()
