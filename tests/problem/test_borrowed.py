"""Baseline: the user's model and data, bit for bit, before a slice was cut."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.errors import ProblemError
from surfaceviz.problem.functional import eager
from surfaceviz.problem.losses import PerSample
from surfaceviz.problem.parameters import named_tensors
from surfaceviz.problem.problem import Problem


def _state(model: nn.Module) -> dict[str, Any]:
    tensors = {k: (id(v), v.clone(), v.requires_grad) for k, v in [*model.named_parameters(), *model.named_buffers()]}
    return {"tensors": tensors, "flags": [m.training for m in model.modules()], "threads": torch.get_num_threads()}


def _assert_same(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    assert before["flags"] == after["flags"]
    assert before["threads"] == after["threads"]
    assert list(before["tensors"]) == list(after["tensors"])
    for name, (identity, tensor, grad) in before["tensors"].items():
        assert after["tensors"][name][0] == identity
        assert torch.equal(after["tensors"][name][1], tensor)
        assert after["tensors"][name][2] == grad


def _used_model() -> oracles.Net:
    model = oracles.net()
    model.bn.train()
    model.conv.bias.requires_grad_(False)  # type: ignore[union-attr]
    return model


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("bn", ["fixed", "recalibrate"])
def test_the_users_model_is_as_before(bn: str, workers: int) -> None:
    model = _used_model()
    before, seed = _state(model), torch.get_rng_state()
    oracles.run_slice(Problem(model, oracles.images(), "cross_entropy"), [(-1, 1, 3)], bn=bn, workers=workers)
    _assert_same(before, _state(model))
    assert torch.equal(seed, torch.get_rng_state())
    assert model.bn.momentum == 0.1


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_the_users_model_is_as_before_after_an_exception(error: type[BaseException]) -> None:
    model = _used_model()
    before = _state(model)
    calls = iter(range(100))

    def measure(host: nn.Module, batch: Any) -> dict[str, PerSample]:
        if next(calls) == 5:
            raise error("midway")
        each = functional.cross_entropy(host(batch[0]), batch[1], reduction="none")
        return {"loss": PerSample(each, torch.ones_like(each))}

    with pytest.raises(ProblemError, match=f"{error.__name__}: midway"):
        oracles.run_slice(Problem(model, oracles.images(), measure=measure), [(-1, 1, 9)])
    _assert_same(before, _state(model))


def test_the_users_model_is_as_before_after_real_signals() -> None:
    """A timer's SIGINT lands anywhere, also where torch puts its own swapped tensors back."""
    model = _used_model()
    before = _state(model)
    problem = Problem(model, oracles.images(200), "cross_entropy")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupted = 0
    for i in range(40):
        signal.setitimer(signal.ITIMER_REAL, 0.02 + 0.0007 * i)
        old = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        try:
            oracles.run_slice(problem, [(-1, 1, 400)], batch_size=10, workers=1)
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
        _assert_same(before, _state(model))
    assert interrupted == 40


def test_the_users_data_are_not_written_to() -> None:
    class LateInPlace(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.relu_() if float(self.weight.detach().max()) > 1.5 else x)

    model = LateInPlace(2, 2)
    with torch.no_grad():
        model.weight.fill_(1.0)
    x = torch.randn(10, 2)
    before = x.clone()
    problem = Problem(model, (x, torch.zeros(10, dtype=torch.long)), "cross_entropy")
    with pytest.raises(ProblemError, match=r"at \(.*\): the model writes into its input"):
        oracles.run_slice(problem, [(-9, 9, 9)])
    assert torch.equal(x, before)


def test_a_module_with_two_names_has_its_own_tensors_after_a_pass() -> None:
    class Twice(oracles.Net):
        def __init__(self) -> None:
            super().__init__()
            self.a_bn = self.bn

    model = Twice().eval()
    before = {name: id(tensor) for name, tensor in model.named_parameters()}
    state = {name: torch.zeros_like(named.tensor) for name, named in named_tensors(model).items()}
    eager(Problem(model, oracles.images(), "cross_entropy"))(state, [oracles.images()])
    assert {name: id(tensor) for name, tensor in model.named_parameters()} == before
