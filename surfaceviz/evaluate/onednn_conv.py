"""A convolution in oneDNN's layout, which keeps its folded filters while a point is evaluated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def to_blocked(x: Tensor) -> Tensor:
    """Return a tensor in the blocked layout."""
    return x if x.is_mkldnn else x.contiguous().to_mkldnn()


@dataclass(eq=False, kw_only=True)
class OneDnnConvolution:
    """A convolution that keeps its folded filters, in oneDNN's layout, until their tensors are written to."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int
    eps: float = 0.0
    __name__: str = "convolution"
    _cache_key: tuple[Any, ...] = ()
    growth: float = 0.0  # decades by which the largest weight has grown from the first point; never below 0
    _first: float | None = None
    _weight: Tensor | None = None
    _bias: Tensor | None = None

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None, *statistics: Tensor | None) -> Tensor:
        """Return the convolution of ``x``, normalised by a batch norm's mean, variance, gain and shift if any."""
        x = to_blocked(x)
        tensors = [t for t in (weight, bias, *statistics) if t is not None]
        cache_key = (x.shape, *((id(t), t._version) for t in tensors))  # noqa: SLF001  torch has no public counter
        if cache_key != self._cache_key:
            self._weight, self._bias = self._prepared(x, weight, bias, *statistics)
            self._cache_key = cache_key
        assert self._weight is not None
        y: Tensor = functional.conv2d(
            x, self._weight, self._bias, self.stride, self.padding, self.dilation, self.groups
        )
        return y

    def release(self) -> None:
        """Free the filters."""
        self._cache_key, self._weight, self._bias = (), None, None

    def _prepared(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, *statistics: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        if statistics:
            weight, bias = _folded(weight, bias, *statistics, eps=self.eps)
        size = math.log10(max(float(weight.abs().amax()), 1e-30)) if weight.isfinite().all() else math.inf
        self._first = size if self._first is None else self._first
        self.growth = max(0.0, size - self._first) if math.isfinite(size) else math.inf
        reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # noqa: SLF001  torch.utils.mkldnn does likewise
        laid_out = reorder(
            weight.contiguous().to_mkldnn(), self.padding, self.stride, self.dilation, self.groups, list(x.shape)
        )
        return laid_out, None if bias is None else bias.to_mkldnn()


def _folded(
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    gain: Tensor | None,
    shift: Tensor | None,
    *,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Return w' and b' in the dtype of w, computed in float32 or wider."""
    assert mean is not None
    assert variance is not None
    wide = torch.promote_types(weight.dtype, torch.float32)
    scale = torch.rsqrt(variance.to(wide) + eps)
    if gain is not None:
        scale = scale * gain.to(wide)
    moved = -mean.to(wide) if bias is None else bias.to(wide) - mean.to(wide)
    moved = moved * scale
    if shift is not None:
        moved = moved + shift.to(wide)
    return (weight.to(wide) * scale.view(-1, 1, 1, 1)).to(weight.dtype), moved.to(weight.dtype)
