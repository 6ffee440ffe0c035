"""SIGINT, SIGTERM and requests of other threads as exceptions, deferred during critical sections.

Python drops an exception that a handler raises in a finaliser or in a callback of a weak reference. `interruptible`
raises it again from a place outside.

An exception in the ``__enter__`` or ``__exit__`` of a context manager leaves behind what it was about to change:
torch's stacks of modes, its levels of `torch.vmap`, whether gradients are computed. There, a signal waits until the
method has returned. The body of a ``with`` block stays interruptible, and its entry costs nothing, because the handler
looks for such methods on the stack when a signal arrives.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
import time
import traceback
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from surfaceviz.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 10.0  # seconds in which a run that ends ignores further signals; ours
_AGAIN = 0.05  # seconds until an exception that Python dropped is raised again; ours
_SOON = 0.005  # seconds until a signal that waits for a context manager is handled again; ours
_TRIES = 200  # times of this: a manager that itself waits, for example for a process, is interrupted; ours
_ENTRIES = ("__enter__", "__exit__", "__aenter__", "__aexit__")

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

Action = Callable[[], None]  # raises, or does nothing


class _State:
    """The nesting depth of `deferred_signals`, and the actions that wait."""

    deferrals = 0
    pending: Action | None = None
    posted: Action | None = None  # by another thread
    received: int | None = None  # since `interruptible` began
    since = 0.0  # when that one came
    again: threading.Timer | None = None  # raises an exception that Python dropped
    delayed: Action | None = None  # until a context manager is entered or left
    tries = 0
    firing = threading.Lock()  # held while a thread sends a delayed action to the main thread


def _handle(signum: int, frame: FrameType | None) -> None:
    if _State.posted is not None and signum == signal.SIGTERM:
        action, _State.posted = _State.posted, None
    else:
        if _State.received is not None and time.monotonic() - _State.since < _PATIENCE:
            return  # the run ends already; a second exception would end its last snapshot
        if _State.received is None:
            _State.received, _State.since = signum, time.monotonic()
        action = partial(_raise, _State.received)
    if _State.deferrals:
        _State.pending = action
    elif _State.tries < _TRIES and signal.getsignal(signal.SIGTERM) is _handle and _enters_or_leaves(frame):
        _delay(action)
    else:
        _run(action)


def _enters_or_leaves(frame: FrameType | None) -> bool:
    """Return whether a method that enters or leaves a context manager is on the stack, except of `interruptible`."""
    found = False
    while frame is not None:
        if frame.f_code is _INTERRUPTIBLE:
            return False
        found = found or frame.f_code.co_name in _ENTRIES
        frame = frame.f_back
    return found


def _delay(action: Action) -> None:
    """Handle an action soon again; without `threading.Thread`, whose locks the interrupted code may hold."""
    _State.delayed = action
    _State.tries += 1
    start_new_thread(_fire, (action,))


def _fire(action: Action) -> None:
    time.sleep(_SOON)
    with _State.firing:  # the end of `interruptible` waits, so that no signal comes when the usual handler is back
        if _State.delayed is action:
            _State.delayed = None
            raise_in_main_thread(action)


def _take_delayed() -> Action | None:
    """Return the action that still waits, which is sent no more."""
    with _State.firing:
        action, _State.delayed = _State.delayed, None
    return action


def _run(action: Action) -> None:
    """Run an action; this function in a traceback tells that the exception is one of ours."""
    _State.tries = 0
    action()


def exit_on_signals() -> None:
    """Exit with the code of the signal, 128 + its number, whenever no `interruptible` block handles it.

    For the command line, so that a signal before, after or during the end of a command gives one code. An ignored
    signal stays ignored.
    """
    for signum in _SIGNALS:
        if signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(signum, _exit)


def _exit(signum: int, _frame: FrameType | None) -> None:
    os._exit(128 + (_State.received or signum))


def _raise(signum: int) -> None:
    raise Interrupted(signum)


def _raise_error(error: BaseException) -> None:
    raise error.with_traceback(None)


def raise_in_main_thread(action: Action) -> None:
    """Make the main thread call ``action``, which raises, as if a signal had arrived; called from another thread.

    Does nothing if the main thread is not `interruptible`.
    """
    if signal.getsignal(signal.SIGTERM) is _handle:
        _State.posted = action
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)  # wakes it from a wait, too


def _forget_in_child() -> None:
    """Forget what a thread of the parent was about to send."""
    _State.delayed, _State.firing = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` in the main thread at SIGINT or SIGTERM; restore the handlers at the end.

    Does nothing outside the main thread, where Python allows no handlers. Handlers that the caller
    set stay, and an ignored signal stays ignored (as under ``nohup``).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = (signal.SIG_DFL, signal.default_int_handler, _exit)
    previous = {s: signal.getsignal(s) for s in _SIGNALS if signal.getsignal(s) in usual}
    if not previous:  # a nested block, in which the signal of the outer block is kept
        yield
        return
    _State.received = None
    for signum in previous:
        signal.signal(signum, _handle)
    try:
        with _raising_again():
            yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


@contextmanager
def _raising_again() -> Iterator[None]:
    """Raise exceptions of handlers again that Python drops."""
    usual = sys.unraisablehook

    def hook(dropped: UnraisableHookArgs) -> None:
        error = dropped.exc_value
        frames = [frame.f_code for frame, _ in traceback.walk_tb(dropped.exc_traceback)]
        if error is None or _run.__code__ not in frames:
            usual(dropped)
            return
        # This hook still runs in the finaliser, so that another thread must wait for its end.
        _State.again = threading.Timer(_AGAIN, raise_in_main_thread, [partial(_raise_error, error)])
        _State.again.daemon = True
        _State.again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
        timer, _State.again = _State.again, None
        if timer is not None:
            timer.cancel()
            timer.join()  # it must not send its signal when the usual handler is back
        delayed = _take_delayed()
    if delayed is not None:
        _run(delayed)


_INTERRUPTIBLE = inspect.unwrap(interruptible).__code__


def received_signal() -> int | None:
    """Return the number of the signal that arrived, or None; also if its exception was lost."""
    return _State.received


def raise_if_interrupted() -> None:
    """Raise `Interrupted` for a signal whose exception was lost, for example in the user's code; for long loops."""
    if _State.received is not None and not _State.deferrals:
        raise Interrupted(_State.received)


@contextmanager
def deferred_signals(*, raise_after: bool = True) -> Iterator[None]:
    """Defer signals until the block ends; then raise `Interrupted` if ``raise_after``.

    If an exception leaves the block, the signal is dropped, because the run ends anyway.
    """
    _State.deferrals += 1
    try:
        yield
    finally:
        _State.deferrals -= 1
        pending = _State.pending
        if not _State.deferrals:
            _State.pending = None
    if raise_after and pending is not None and not _State.deferrals:
        _run(pending)
