"""Baseline: the loss of the same outputs by torch in float64, and lines that say what came and what to give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import oracles
import pytest
import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz.errors import CheckpointError, ProblemError
from surfaceviz.problem.problem import Problem

X = torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long()
AXES = [(-1, 1, 3)]


class Output(dict[str, Tensor]):
    """A model output as of Hugging Face."""


class Net(nn.Module):
    def __init__(self, kind: str = "") -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.kind, self.a, self.b = kind, nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        if self.kind == "labels" and labels is None:
            raise ValueError("specify labels")
        first, second = self.a(x), self.b(x)
        if self.kind == "object":
            return type("Heads", (), {"first": first})()
        return {
            "tuple": (first, second), "list": [first], "mapping": {"out": first, "aux": second},
            "logits": Output(logits=first, loss=second.sum()),
        }.get(self.kind, first)  # fmt: skip


class Needs(Net):
    def forward(self, x: Tensor, labels: Tensor) -> Any:  # type: ignore[override]
        assert labels.dtype == torch.int64
        return super().forward(x)


LINES = {
    "tuple": r"the model gives a tuple of 2 \(tensor \(30, 2\), tensor \(30, 2\)\); the loss expects one tensor. Pick "
    r"it by forward=lambda model, x: model\(x\)\[0\]",
    "list": r"the model gives a list of 1 \(tensor \(30, 2\)\)",
    "mapping": r"the model gives a dict with 'out': tensor \(30, 2\), 'aux': tensor \(30, 2\); .* model\(x\)\['out'\]",
    "object": r"the model gives an object of type Heads; .* model\(x\).NAME",
}


@pytest.mark.parametrize("command", [oracles.run_slice, surfaceviz.hessian])
@pytest.mark.parametrize("kind", LINES)
def test_other_outputs_than_a_tensor_are_described(kind: str, command: Any) -> None:
    for loss in ("cross_entropy", nn.CrossEntropyLoss(), nn.functional.cross_entropy):
        with pytest.raises(ProblemError, match=LINES[kind]) as caught:
            command(Problem(Net(kind), (X, Y), loss), reporter=oracles.Recorder())
        assert "\n" not in str(caught.value)


def _reference() -> float:
    with torch.no_grad():
        return float(nn.functional.cross_entropy(Net().a.double()(X.double()), Y))


def test_what_the_lines_advise_gives_the_loss() -> None:
    picked = Problem(Net("tuple"), (X, Y), "cross_entropy", forward=lambda model, x: model(x)[0])
    taken = Problem(Net("tuple"), (X, Y), lambda made, y: nn.functional.cross_entropy(made[0], y, reduction="none"))
    logits = Problem(Net("logits"), (X, Y), "cross_entropy")

    def whole(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {
            "loss": (nn.functional.cross_entropy(model(**batch), batch["labels"], reduction="sum"), len(batch["x"]))
        }

    measured = Problem(Net("labels"), [{"x": X, "labels": Y}], measure=whole)
    needed = Problem(Needs(), [{"x": X, "labels": Y}], "cross_entropy")
    for problem in (picked, taken, logits, measured, needed):
        values = oracles.run_slice(problem, AXES, dtype="float64").values["train_loss"]
        assert values[1] == pytest.approx(_reference(), rel=1e-12)


@pytest.mark.parametrize("command", [oracles.run_slice, surfaceviz.hessian])
def test_a_model_that_wants_the_labels_is_told_of_measure(command: Any) -> None:
    line = "specify labels.*; the model got no 'labels': of a dict batch they go to the loss alone. .* give measure="
    with pytest.raises(ProblemError, match=line):
        command(Problem(Net("labels"), [{"x": X, "labels": Y}], "cross_entropy"), reporter=oracles.Recorder())


def test_an_error_that_has_nothing_to_do_with_labels_has_no_hint() -> None:
    def broken(_model: nn.Module, _x: Any) -> Any:
        raise ValueError("broken")

    with pytest.raises(ProblemError, match="broken") as caught:
        oracles.run_slice(Problem(Net(), [{"x": X, "labels": Y}], "cross_entropy", forward=broken), AXES)
    assert "labels" not in str(caught.value)


@pytest.mark.parametrize("command", [oracles.run_slice, surfaceviz.hessian])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch.ao
def test_quantised_weights_are_no_parameters(command: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    with pytest.raises(
        ProblemError, match="no floating-point parameters that could move; 0, 2 are quantised: give the"
    ):
        command(Problem(quantised, (X, Y), "cross_entropy"), reporter=oracles.Recorder())
    with pytest.raises(ProblemError, match="no floating-point parameters that could move$"):
        command(Problem(nn.Identity(), (X, Y), "cross_entropy"), reporter=oracles.Recorder())


def test_a_meta_model_needs_weights_and_works_with_them() -> None:
    torch.save(nn.Linear(3, 2).state_dict(), "weights.pt")
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    problem = Problem(model, (X, Y), "cross_entropy")
    with pytest.raises(CheckpointError, match="bias, weight lie on the meta device, without values; give weights"):
        oracles.run_slice(problem, AXES)
    state = torch.load("weights.pt", weights_only=True)
    expected = nn.functional.cross_entropy(X.double() @ state["weight"].double().T + state["bias"], Y)
    got = oracles.run_slice(problem, AXES, weights="weights.pt", dtype="float64").values["train_loss"][1]
    assert got == pytest.approx(float(expected), rel=1e-12)
    assert surfaceviz.hessian(problem, weights="weights.pt", top=1, reporter=oracles.Recorder()).converged.all()
    model.register_buffer("shift", torch.zeros(2, device="meta"), persistent=False)
    with pytest.raises(
        CheckpointError, match=r"shift lie on the meta device, without values, and weights.pt lacks them"
    ):
        oracles.run_slice(Problem(model, (X, Y), "cross_entropy"), AXES, weights="weights.pt")


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_a_lazy_model_is_to_be_run_once() -> None:
    with pytest.raises(ValueError, match="0.weight, 0.bias of a lazy module has no shape yet; run the model once"):
        Problem(nn.Sequential(nn.LazyLinear(4)), (X, Y), "cross_entropy")
