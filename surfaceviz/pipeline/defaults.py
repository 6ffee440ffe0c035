"""Defaults of options, read from the function that defines them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any


def defaults_of(function: Callable[..., Any]) -> SimpleNamespace:
    """Return the defaults of a function's parameters, by name.

    >>> defaults_of(lambda problem, *, seed=0: None)
    namespace(seed=0)
    """
    parameters = inspect.signature(function).parameters.values()
    return SimpleNamespace(**{p.name: p.default for p in parameters if p.default is not p.empty})


def options_for(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given values that are parameters of a function.

    >>> options_for(lambda problem, *, seed=0: None, {"seed": 3, "quiet": True})
    {'seed': 3}
    """
    return {name: given[name] for name in inspect.signature(function).parameters if name in given}
