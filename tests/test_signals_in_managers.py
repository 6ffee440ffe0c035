"""Baseline: torch's own state before a block, compared after a signal at each event of Python's tracing in the block.

`sys.settrace` sends the signal: at the call, at each line and at the return of every function that enters or leaves the
block, torch's and the standard library's included.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import FrameType
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _python_dispatch

from surfaceviz import signals
from surfaceviz.curvature.derivative_check.branches import Branches
from surfaceviz.curvature.derivative_check.locate import _Recorder
from surfaceviz.curvature.nonsmooth.recorder import _KinkRecorder, _run_under
from surfaceviz.curvature.products.double_backward import twice_differentiable
from surfaceviz.errors import Interrupted
from surfaceviz.evaluate.forward_history import _Uses
from surfaceviz.problem.forward.compile_stance import compile_stance
from surfaceviz.problem.forward.differentiable_operators import DifferentiableOperators
from surfaceviz.problem.functional import borrowed
from surfaceviz.signals import interruptible


def _state() -> dict[str, Any]:
    """Return what the managers change."""
    return {
        "function modes": torch._C._len_torch_function_stack(),
        "dispatch modes": torch._C._len_torch_dispatch_stack(),
        "in a dispatch mode": _python_dispatch._is_in_torch_dispatch_mode,
        "vmap": torch._C._functorch.maybe_current_level(),
        "stance": torch._dynamo.eval_frame._stance.stance,
        "gradients": torch.is_grad_enabled(),
        "attention": (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled()),
        "fused layers": torch.backends.mha.get_fastpath_enabled(),
        "threads": torch.get_num_threads(),
    }


class _Signalling:
    """Traces calls, lines and returns; sends SIGINT at one of them.

    Not in the frame of the ``with`` statement: Python traces its line again before it leaves the block, where it never
    handles a signal.
    """

    def __init__(self, at: int) -> None:
        self.events, self._at = 0, at

    def __call__(self, frame: FrameType, _event: str, _argument: object) -> _Signalling | None:
        if frame.f_code is _enter.__code__:
            return None
        self.events += 1
        if self.events == self._at:
            signal.raise_signal(signal.SIGINT)
        return self


def _until_interrupted() -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.001)
    raise AssertionError("the signal was lost")


def _signalled(run: Callable[[], object], at: int) -> _Signalling:
    """Run with a signal at an event."""
    tracer = _Signalling(at)
    usual = sys.gettrace()
    with interruptible():
        sys.settrace(tracer)
        try:
            run()
        finally:
            sys.settrace(usual)
        if tracer.events >= at:
            _until_interrupted()
    return tracer


def _enter(make: Callable[[], AbstractContextManager[object]]) -> None:
    with make():
        pass


_WEIGHT = torch.ones(2)
MANAGERS: dict[str, Callable[[], object]] = {
    "operators": partial(_enter, DifferentiableOperators),
    "double backward": partial(_enter, twice_differentiable),
    "branches": partial(_enter, Branches),
    "kinks": partial(_enter, lambda: _run_under(_KinkRecorder([]))),
    "located operators": partial(_enter, _Recorder),
    "padding": partial(_enter, lambda: _Uses({})),
    "stance": partial(_enter, partial(compile_stance, "force_eager")),
    "a borrowed model": partial(_enter, partial(borrowed, nn.Linear(2, 2), torch.device("cpu"))),
    "torch.no_grad": partial(_enter, torch.no_grad),
    "torch.enable_grad": partial(_enter, torch.enable_grad),
    "sdpa_kernel": partial(_enter, partial(sdpa_kernel, SDPBackend.MATH)),
    "torch.vmap": lambda: torch.vmap(torch.neg)(_WEIGHT),
}


@pytest.mark.parametrize("name", MANAGERS)
def test_a_signal_at_any_moment_leaves_torch_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_SOON", 0.0002)
    run, before = MANAGERS[name], _state()
    run()  # what torch imports and builds once
    assert _state() == before
    total = _signalled(run, sys.maxsize).events
    assert total > 2
    for at in range(1, total + 1):
        with pytest.raises(Interrupted):
            _signalled(run, at)
        assert _state() == before, f"event {at} of {total}"


def _interrupted_body() -> None:
    with interruptible(), twice_differentiable():
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the body was not interrupted")


def test_a_body_is_interrupted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_SOON", 3600.0)
    with pytest.raises(Interrupted):
        _interrupted_body()


@contextmanager
def _waiting() -> Iterator[None]:
    yield
    _until_interrupted()


def test_a_manager_that_waits_is_interrupted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_SOON", 0.0002)
    with pytest.raises(Interrupted), interruptible(), _waiting():
        monkeypatch.setattr(sys.modules[__name__], "_until_interrupted", partial(_signal_and, _until_interrupted))


def _signal_and(wait: Callable[[], None]) -> None:
    signal.raise_signal(signal.SIGTERM)
    wait()


class _Leaving:
    """A manager in whose end a signal arrives."""

    def __enter__(self) -> None:
        self.left = False

    def __exit__(self, *_error: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        self.left = True


def test_a_signal_that_still_waits_is_raised_at_the_end_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_SOON", 3600.0)
    manager = _Leaving()
    with pytest.raises(Interrupted, match="interrupted by SIGTERM"), interruptible(), manager:
        pass
    assert manager.left


class _Forking:
    """A manager in which a signal arrives before a fork."""

    def __enter__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        self.child = os.fork()
        if self.child == 0:
            os._exit(0 if signals._State.delayed is None else 1)

    def __exit__(self, *_error: object) -> None:
        pass


def test_a_waiting_signal_stays_with_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_SOON", 3600.0)
    manager = _Forking()
    with pytest.raises(Interrupted), interruptible(), manager:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(manager.child, 0)[1]) == 0
