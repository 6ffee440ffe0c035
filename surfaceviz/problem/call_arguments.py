"""Arguments, by name, of calls of torch's batch norms and convolutions; one table for all code that folds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BATCH_NORM_NAMES = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
_BATCH_NORM_DEFAULTS = {"weight": None, "bias": None, "training": False, "momentum": 0.1, "eps": 1e-5}
_CONVOLUTION_NAMES = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_CONVOLUTION_DEFAULTS = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}


def batch_norm_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call of `torch.nn.functional.batch_norm` by name, defaults included.

    >>> batch_norm_arguments(["x", "mean", "var"], {"eps": 1e-3})["eps"]
    0.001
    """
    return {**_BATCH_NORM_DEFAULTS, **dict(zip(_BATCH_NORM_NAMES, args, strict=False)), **kwargs}


def convolution_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call of `torch.conv1d`, `conv2d` or `conv3d` by name, defaults included.

    >>> convolution_arguments(["x", "w"], {"padding": 2})["padding"]
    2
    """
    return {**_CONVOLUTION_DEFAULTS, **dict(zip(_CONVOLUTION_NAMES, args, strict=False)), **kwargs}
