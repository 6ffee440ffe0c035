"""SIGINT, SIGTERM and what other threads post, as exceptions that wait where a half-done thing must not be left."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

from surfaceviz.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


Action = Callable[[], None]  # raises, or does nothing


class _State:
    """How many shields are up, and what arrived behind them."""

    shields = 0
    pending: Action | None = None
    posted: Action | None = None  # by another thread
    seen: int | None = None  # since `interruptible` began


def _handle(signum: int, _frame: FrameType | None) -> None:
    if _State.posted is not None and signum == signal.SIGTERM:
        action, _State.posted = _State.posted, None
    else:
        _State.seen, action = signum, partial(_raise, signum)
    if _State.shields:
        _State.pending = action
    else:
        action()


def _raise(signum: int) -> None:
    raise Interrupted(signum)


def raise_in_main_thread(action: Action) -> None:
    """Have the main thread call ``action``, which raises, soon, as if a signal had arrived; from another thread.

    Where the main thread is not `interruptible`, nothing happens.
    """
    if signal.getsignal(signal.SIGTERM) is _handle:
        _State.posted = action
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)  # wakes it from a wait, too


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` in the main thread at SIGINT or SIGTERM; put the handlers back at the end.

    Outside the main thread Python allows no handlers, and this does nothing. A handler that the
    caller set for SIGTERM, or his ignoring of SIGINT (as under ``nohup``), is respected.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = (signal.SIG_DFL, signal.default_int_handler)
    previous = {s: signal.getsignal(s) for s in _SIGNALS if signal.getsignal(s) in usual}
    if previous:  # within another such block, what it has seen is still to be told
        _State.seen = None
    for signum in previous:
        signal.signal(signum, _handle)
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def received_signal() -> int | None:
    """Return the number of the signal that arrived, if any, also where its exception was lost."""
    return _State.seen


def raise_if_interrupted() -> None:
    """Raise `Interrupted` for a signal whose exception was lost, as in a finaliser that Python happened to run."""
    if _State.seen is not None and not _State.shields:
        raise Interrupted(_State.seen)


@contextmanager
def deferred_signals(*, raise_after: bool = True) -> Iterator[None]:
    """Hold a signal back until the block ends, then raise it as `Interrupted`, unless the run ends anyway.

    An exception that leaves the block goes first; the signal is then dropped, as the run ends anyway.
    """
    _State.shields += 1
    try:
        yield
    finally:
        _State.shields -= 1
        pending = _State.pending
        if not _State.shields:
            _State.pending = None
    if raise_after and pending is not None and not _State.shields:
        pending()
