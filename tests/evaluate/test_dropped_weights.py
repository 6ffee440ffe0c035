"""Baseline: Python's reference counts, without the garbage collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch

from surfaceviz.evaluate import Perturber


@pytest.fixture(autouse=True)
def _uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bf16"])
def test_the_weights_of_a_point_are_freed_with_their_perturber(dtype: str) -> None:
    """Else a run in another dtype holds a copy more until the garbage collector finds it."""
    theta = {"w": torch.ones(4, 3)}
    perturber = Perturber({"w": "w"}, theta, [{"w": torch.ones(4, 3)}], dtype, device=torch.device("cpu"))
    weights = weakref.ref(perturber.centre["w"])
    assert weights() is not None
    del perturber
    assert weights() is None
