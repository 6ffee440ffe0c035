"""Defaults of a request, for the command line and the Python interface."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


def defaults_of(request: Callable[..., Any]) -> SimpleNamespace:
    """Return the parameters of a callable that have a default, with that default.

    >>> defaults_of(lambda path, *, levels="auto": None)
    namespace(levels='auto')
    """
    parameters = inspect.signature(request).parameters.values()
    return SimpleNamespace(**{p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty})
