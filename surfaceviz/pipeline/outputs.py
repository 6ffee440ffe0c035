"""Locks of outputs, none of which is an input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import surfaceviz.lock
from surfaceviz.inputs import Inputs, refuse_inputs

__all__ = ["Inputs", "claimed", "refuse_inputs"]
WAIT = 10.0  # seconds for which a short write waits for another one; ours


@contextmanager
def claimed(*outputs: Path, inputs: Inputs, wait: float = WAIT) -> Iterator[None]:
    """Hold the locks of outputs for a ``with`` block.

    Raises:
        StoreError: an output is an input, is not a regular file, or is being written by another process.
    """
    refuse_inputs(outputs, inputs)
    with ExitStack() as stack:
        for output in sorted(set(outputs)):  # one order for all processes, so that no two wait for each other
            stack.enter_context(surfaceviz.lock.held(output, wait=wait))
        yield
