"""Baseline: the tensors that Python holds while a loss is computed, counted by the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.evaluate import EngineConfig, EvaluationContext, Evaluator, select_engine
from surfaceviz.evaluate.conv_bn_fusion import ConvBnFusion
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.problem.batching import batch_jointly
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem


@pytest.fixture(autouse=True)
def _only_new_objects() -> Iterator[None]:
    """Hide what is there already from `gc.get_objects`: in a long session, a million objects."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _held() -> int:
    """Return the bytes of all tensors, each storage counted once."""
    storages = {}
    for each in gc.get_objects():
        if type(each) in (Tensor, nn.Parameter) and not torch._C._functorch.is_functorch_wrapped_tensor(each):
            size = each.numel() * each.element_size() if each.is_mkldnn else each.untyped_storage().nbytes()
            storages[id(each) if each.is_mkldnn else each.untyped_storage().data_ptr()] = size
    return sum(storages.values())


class _Witness:
    """A loss that looks at what is held meanwhile."""

    def __init__(self) -> None:
        self.most = 0

    def look(self) -> None:
        gc.collect()
        self.most = max(self.most, _held())

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.look()
        return functional.cross_entropy(outputs, targets, reduction="none")


def _deep(wide: bool) -> nn.Module:
    if wide:
        return nn.Sequential(*[part for _ in range(8) for part in (nn.Linear(128, 128), nn.ReLU())])
    blocks = [part for _ in range(8) for part in (nn.Conv2d(48, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU())]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _world(model: nn.Module, data: Any, loss: Any) -> EvaluationContext:
    axes = [(-1, 1, 5), (-1, 1, 5)]
    return make_plan(Request.of(Problem(model, data, loss), axes), lambda _line: None).context()


@pytest.mark.parametrize(
    ("wide", "engine", "group"), [(False, "eager", 1), (False, "folded", 1), (True, "eager", 1), (True, "vmapped", 4)]
)
def test_points_take_four_copies_of_the_weights_at_the_most(
    wide: bool, engine: str, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, witness = _deep(wide), _Witness()
    release = ConvBnFusion.release

    def seen(folding: ConvBnFusion) -> None:  # a graph has no witness in it
        witness.look()
        release(folding)

    monkeypatch.setattr(ConvBnFusion, "release", seen)
    x = torch.randn(4, 128) if wide else torch.randn(4, 48, 4, 4)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    gc.collect()
    before = _held()
    context = _world(model, (x, torch.zeros(4, dtype=torch.long)), "cross_entropy" if engine == "folded" else witness)
    with borrowed(model, torch.device("cpu")):
        reference = Evaluator(context, EngineConfig())  # as choosing an engine leaves behind
        reference([(0.0, 0.0)])
        Evaluator(context, EngineConfig(engine, 4, group))([(0.1 * i, 0.2) for i in range(group)])
    assert witness.most > before
    slack = 0.25 * weights  # activations of four samples, and the data
    assert witness.most - before <= (4 if group == 1 else 3 + group) * weights + slack


def test_an_engine_that_rests_holds_no_filters() -> None:
    model = _deep(wide=False)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    context = _world(model, (torch.randn(4, 48, 4, 4), torch.zeros(4, dtype=torch.long)), "cross_entropy")
    with borrowed(model, torch.device("cpu")):
        Evaluator(context, EngineConfig())([(0.0, 0.0)])
        gc.collect()
        before = _held()
        chosen = select_engine(context, [(0.1, 0.2)], points=10, engine="folded")
        gc.collect()
        assert _held() - before < 0.2 * weights
    assert chosen.engine.name == "folded"


def test_batches_in_a_row_are_views_but_for_those_across_splits() -> None:
    context = _world(_deep(wide=True), {"a": _rows(50), "b": _rows(17)}, "cross_entropy")
    (section,) = batch_jointly(context.splits, 16)
    own = {split.rows[0].untyped_storage().data_ptr() for split in context.splits}
    views = [batch[0].untyped_storage().data_ptr() in own for batch in section.batches]
    assert views == [True, True, True, False, False]  # 14 each: the 4th goes across, the 5th is filled
    joined = torch.cat([batch[0] for batch in section.batches])
    assert torch.equal(joined[:67], torch.cat([split.rows[0] for split in context.splits]))


def _rows(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 128), torch.arange(count) % 10


def test_a_run_keeps_to_that_too() -> None:
    model, witness = _deep(wide=False), _Witness()
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    gc.collect()
    before = _held()
    problem = Problem(model, (torch.randn(4, 48, 4, 4), torch.zeros(4, dtype=torch.long)), witness)
    oracles.run_slice(problem, [(-1, 1, 3), (-1, 1, 3)], engine="eager")
    assert before < witness.most <= before + 6.5 * weights  # 2 of them for a set in float64, during its check
