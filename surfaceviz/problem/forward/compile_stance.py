"""The stance of `torch.compile`, set in a ``with`` block."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import TracebackType

import torch


class compile_stance:  # noqa: N801  a context manager reads as a verb here
    """Set the stance of `torch.compile` in a ``with`` block.

    `torch.compiler.set_stance` sets the stance when it is made, so that an exception between that and its ``with``
    leaves it behind. Here it is made on entry, where a signal waits (see `surfaceviz.signals`).

    Args:
        stance: "default" or "force_eager", see `torch.compiler.set_stance`.
    """

    def __init__(self, stance: str) -> None:
        self._stance = stance
        self._set: AbstractContextManager[None] | None = None

    def __enter__(self) -> None:
        if "torch._dynamo" in sys.modules:  # without it nothing is compiled, and it takes seconds to import
            self._set = torch.compiler.set_stance(self._stance)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._set is not None:
            self._set.__exit__(kind, error, traceback)
