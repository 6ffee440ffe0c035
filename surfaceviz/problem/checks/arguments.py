"""Checks of a problem's arguments: the model, and the names of the splits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedParameter

from surfaceviz.errors import ProblemError


def refuse_model(model: Any) -> None:
    """Raise for a model that is not a module, or has no shapes yet.

    Raises:
        ValueError: it is a class, another object, or a lazy module that never ran.
    """
    if not isinstance(model, nn.Module):
        kind = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ValueError(  # noqa: TRY004
            f"a model is a torch.nn.Module, not {kind}; the order is Problem(model, data, loss)"
        )
    lazy = [name for name, tensor in model.named_parameters() if isinstance(tensor, UninitializedParameter)]
    if lazy:
        raise ValueError(f"{', '.join(lazy[:3])} of a lazy module has no shape yet; run the model once on an input")


def refuse_ambiguous(splits: Iterable[Any]) -> None:
    """Raise for names of splits that are not text, hold a comma, or begin another name with an underscore.

    Raises:
        ProblemError: two names would mix up those of values, such as ``train_loss``.
    """
    names = list(splits)
    for one in names:
        if not isinstance(one, str) or "," in one:
            raise ProblemError(f"a split is named by a string without commas, got {one!r}")
        for other in names:
            if other.startswith(f"{one}_"):
                raise ProblemError(f"splits {one!r} and {other!r} would mix up names such as {other}_loss; rename one")
