"""Losses without data: functions of the weights only, such as test functions of optimisation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from surfaceviz.errors import ProblemError

NO_DATA = {"train": (torch.zeros(1, 1),)}  # one sample, which is not used


@dataclass(frozen=True, slots=True)
class FunctionOfWeights:
    """The measure of a problem without data.

    Attributes:
        loss: takes the output of the model, or the model; None if the output is the loss.
        takes_model: whether it takes the model.
    """

    loss: Callable[[Any], Any] | None
    takes_model: bool

    @classmethod
    def of(cls, model: nn.Module, loss: Any, *need_data: object) -> FunctionOfWeights:
        """Return the measure of a model: of its output if its forward takes no inputs, else of the model itself.

        Args:
            model: the model.
            loss: a function, or None.
            need_data: options of a problem that make no sense without data, all of them empty.

        Raises:
            ValueError: the loss or an option needs data, or there is neither a loss nor a forward that gives it.
        """
        if any(need_data):
            raise ValueError(
                "without data, the loss is a function of the model; metrics, forward and measure need data"
            )
        if loss is not None and (isinstance(loss, str | nn.Module) or not callable(loss)):
            raise ValueError(f"loss {loss!r} compares outputs with targets; give data, or a function of the model")
        takes_model = not _runs_without_inputs(model)
        if loss is None and takes_model:
            raise ValueError(
                "without data, give loss= a function of the model, or a model whose forward takes no inputs and "
                "returns the loss"
            )
        return cls(loss, takes_model)

    def __call__(self, model: nn.Module, _batch: Any) -> dict[str, tuple[Any, float]]:
        """Return the loss, with weight 1."""
        found = model if self.takes_model else model()
        value = found if self.loss is None else self.loss(found)
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ProblemError(f"the loss gave a tensor of shape {tuple(value.shape)}; expected one number")
        return {"loss": (value.reshape(()) if isinstance(value, Tensor) else value, 1.0)}


def _runs_without_inputs(model: nn.Module) -> bool:
    """Return whether a model has a forward without required arguments."""
    if type(model).forward is nn.Module.forward:
        return False
    try:
        inspect.signature(model.forward).bind()
    except (TypeError, ValueError):
        return False
    return True
