"""Second derivatives at a point: matrix-vector products, extreme eigenvalues, densities, traces, the kind of point."""

from surfaceviz.curvature.critical_points import PointEvidence, classify_point
from surfaceviz.curvature.dense import DENSE_VECTORS
from surfaceviz.curvature.derivative_check import DerivativeCheck, check_derivatives
from surfaceviz.curvature.flat_parameters import (
    ParameterLayout,
    filter_numbers,
    filter_scales,
    parameter_layout,
)
from surfaceviz.curvature.lanczos import ExtremeEigenpairs, extreme_eigenpairs, min_basis_size
from surfaceviz.curvature.nonsmooth import count_kinks
from surfaceviz.curvature.operator import LossGradient, Operator
from surfaceviz.curvature.products.hvp import OPERATORS
from surfaceviz.curvature.products.sharded_hvp import SampleShare, SetPoint, ShardedHvp
from surfaceviz.curvature.rounding_error import RoundingError, rounding_error
from surfaceviz.curvature.sampling_error import SamplingError, random_groups, sampling_error
from surfaceviz.curvature.spectrum import (
    eigenpairs,
    loss_gradient_at,
    spectrum,
    spectrum_matvec,
    start_vectors,
)
from surfaceviz.curvature.spectrum_spec import MAX_BASIS_SIZE, SpectrumPoint, SpectrumSpec

__all__ = [
    "DENSE_VECTORS",
    "MAX_BASIS_SIZE",
    "OPERATORS",
    "DerivativeCheck",
    "ExtremeEigenpairs",
    "LossGradient",
    "Operator",
    "ParameterLayout",
    "PointEvidence",
    "RoundingError",
    "SampleShare",
    "SamplingError",
    "SetPoint",
    "ShardedHvp",
    "SpectrumPoint",
    "SpectrumSpec",
    "check_derivatives",
    "classify_point",
    "count_kinks",
    "eigenpairs",
    "extreme_eigenpairs",
    "filter_numbers",
    "filter_scales",
    "loss_gradient_at",
    "min_basis_size",
    "parameter_layout",
    "random_groups",
    "rounding_error",
    "sampling_error",
    "spectrum",
    "spectrum_matvec",
    "start_vectors",
]  # fmt: skip
