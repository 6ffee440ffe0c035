"""Baseline: the formulas of Li et al. written out in numpy, filter by filter, in float64."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from surfaceviz.directions import normalise, random
from surfaceviz.directions.specs import Random
from surfaceviz.errors import DirectionError, ProblemError
from surfaceviz.problem import checkpoints
from surfaceviz.problem.parameters import canonical_name, filters_of, moving_parameters, named_tensors
from surfaceviz.problem.problem import Problem


class Zoo(nn.Module):
    """One of each kind of module that has filters."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4)
        self.head = nn.Linear(5, 1)
        self.conv = nn.Conv2d(2, 3, 3)
        self.transposed = nn.ConvTranspose2d(4, 6, 3, groups=2)
        self.embedding = nn.Embedding(7, 3)
        self.norm = nn.LayerNorm((2, 3))
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return x


def _filters_by_hand(name: str, w: Tensor) -> list[Tensor]:
    """Return the tensor's filters as the modules compute with them."""
    if name == "transposed.weight":  # output channel o of group g gets its input from channels of group g alone
        return [w[2 * g : 2 * g + 2, o] for g in range(2) for o in range(3)]
    return list(w)


def _zoo() -> Zoo:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Zoo()


def test_each_filter_has_the_norm_of_its_weights_and_gains_are_zero() -> None:
    model = _zoo()
    made = oracles.make_directions(model, count=2)
    weights = {name: p.detach() for name, p in model.named_parameters()}
    for direction in made:
        moved = {"linear.weight", "head.weight", "conv.weight", "transposed.weight", "embedding.weight"}
        assert set(direction.tensors) == moved
        for name, d in direction.tensors.items():
            pairs = zip(_filters_by_hand(name, d), _filters_by_hand(name, weights[name]), strict=True)
            for d_i, w_i in pairs:
                assert float(d_i.norm()) == pytest.approx(float(w_i.norm()), rel=1e-6)


def _noise(seed: int, axis: int, name: str, shape: tuple[int, ...]) -> oracles.Array:
    return normalise.noise(seed, axis, name, shape).double().numpy()


@pytest.mark.parametrize("how", ["filter", "layer", "weight", "dfilter", "dlayer", "none"])
def test_normalisations_are_the_papers_formulas(how: str) -> None:
    linear = nn.Linear(4, 3).double()
    model = nn.Sequential(linear)
    (made,) = oracles.make_directions(model, count=1, normalise=how)
    w = linear.weight.detach().numpy()
    d = _noise(0, 0, "0.weight", (3, 4))
    rows, w_rows = np.linalg.norm(d, axis=1, keepdims=True), np.linalg.norm(w, axis=1, keepdims=True)
    expected = {
        "filter": d * w_rows / (rows + 1e-10),
        "layer": d * np.linalg.norm(w) / np.linalg.norm(d),
        "weight": d * w,
        "dfilter": d / (rows + 1e-10),
        "dlayer": d / np.linalg.norm(d),
        "none": d,
    }[how]
    np.testing.assert_allclose(made.tensors["0.weight"].numpy(), expected, rtol=1e-12)


def test_noise_is_pinned() -> None:
    assert normalise.noise(0, 1, "conv.weight", (3,)).tolist() == pytest.approx(
        [-1.2550294, 1.1270305, -1.1600811], rel=1e-6
    )


def test_noise_is_gaussian() -> None:
    d = _noise(3, 0, "w", (200_000,))
    assert abs(d.mean()) < 0.01
    assert d.std() == pytest.approx(1, abs=0.01)
    assert np.mean(np.abs(d) > 1.96) == pytest.approx(0.05, abs=0.003)


def test_ignore_none_takes_the_weights_for_gains() -> None:
    model = _zoo()
    (made,) = oracles.make_directions(model, count=1, ignore="none")
    torch.testing.assert_close(made.tensors["linear.bias"], model.linear.bias.detach(), rtol=0, atol=0)
    torch.testing.assert_close(made.tensors["bn.weight"], model.bn.weight.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("how", ["filter", "layer", "weight", "dfilter", "dlayer", "none"])
def test_orthogonal_holds_in_every_filter(how: str) -> None:
    model = _zoo().double()
    delta, eta = oracles.make_directions(model, count=2, normalise=how, orthogonal=True)
    for name, e in eta.tensors.items():
        for d_i, e_i in zip(_filters_by_hand(name, delta.tensors[name]), _filters_by_hand(name, e), strict=True):
            assert abs(float((d_i * e_i).sum())) <= 1e-10 * float(d_i.norm() * e_i.norm()) + 1e-300
    if how == "filter":
        for e_i, w_i in zip(eta.tensors["conv.weight"], model.conv.weight.detach(), strict=True):
            assert float(e_i.norm()) == pytest.approx(float(w_i.norm()), rel=1e-9)


def test_a_filter_of_one_weight_has_no_room_for_an_orthogonal_one() -> None:
    model = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 3)).double()
    _, eta = oracles.make_directions(model, orthogonal=True)
    assert set(eta.tensors) == {"1.weight"}


class _Reversed(nn.Module):
    """The same two layers, registered the other way round."""

    def __init__(self, model: nn.Sequential) -> None:
        super().__init__()
        self.add_module("2", model[2])
        self.add_module("1", model[1])
        self.add_module("0", model[0])


def test_directions_do_not_depend_on_order_or_wrapping() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    reference = oracles.make_directions(model)

    def compiled(module: nn.Module) -> nn.Module:
        result = torch.compile(module)
        assert isinstance(result, nn.Module)
        return result

    inner = nn.Sequential(nn.DataParallel(model[0]), model[1], nn.DataParallel(compiled(model[2])))
    for wrapped in (nn.DataParallel(model), compiled(model), nn.DataParallel(compiled(model)), inner):
        made = oracles.make_directions(wrapped)
        assert [d.record.sha256 for d in made] == [d.record.sha256 for d in reference]
    assert [d.record.sha256 for d in oracles.make_directions(_Reversed(model))] == [d.record.sha256 for d in reference]


def test_directions_do_not_depend_on_the_number_of_axes_or_the_global_generator() -> None:
    model = oracles.net()
    first = oracles.make_directions(model, count=1)[0]
    torch.manual_seed(99)
    both = oracles.make_directions(model, count=2)
    assert both[0].record.sha256 == first.record.sha256
    assert both[0].record.sha256 != both[1].record.sha256
    assert oracles.make_directions(model, seed=1)[0].record.sha256 != first.record.sha256


@pytest.mark.parametrize("old", [True, False])
def test_weight_norm_moves_its_directions_and_keeps_its_magnitudes(old: bool) -> None:
    conv = nn.ConvTranspose2d(4, 6, 3, groups=2)
    if old:
        with pytest.warns(FutureWarning):
            model = nn.Sequential(nn.utils.weight_norm(conv, dim=1))
    else:
        model = nn.Sequential(parametrizations.weight_norm(conv, dim=1))
    filters = filters_of(model)
    moved = [name for name, f in filters.items() if not f.is_gain]
    assert moved == ["0.weight_v" if old else "0.parametrizations.weight.original1"]
    assert filters[moved[0]].count == 6


class Conv1D(nn.Module):
    """Named and shaped as Hugging Face's: weight (in, out)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 6))
        self.bias = nn.Parameter(torch.randn(6))


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.randn(2, 3, 4))


def test_conv1d_experts_and_given_rules() -> None:
    assert filters_of(Conv1D())["weight"].axes == (1,)
    assert filters_of(Experts())["gate"].count == 6
    model = nn.Sequential(nn.Linear(3, 4))
    assert filters_of(model, {"*.weight": 1})["0.weight"].count == 3
    assert filters_of(model, {"0.*": "gain"})["0.weight"].is_gain
    with pytest.raises(ValueError, match="expected 'gain' or axes below 2, got 5"):
        filters_of(model, {"*.weight": 5})


def test_tied_weights_draw_once_under_the_first_name() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.z_out = nn.Linear(4, 6, bias=False)
            self.embedding = nn.Embedding(6, 4)
            self.z_out.weight = self.embedding.weight

    assert list(named_tensors(Tied())) == ["embedding.weight"]


def test_zero_filters_stay_still_and_are_counted() -> None:
    linear = nn.Linear(4, 3)
    model = nn.Sequential(linear)
    with torch.no_grad():
        linear.weight[1] = 0
    (made,) = oracles.make_directions(model, count=1)
    assert made.tensors["0.weight"][1].tolist() == [0, 0, 0, 0]
    assert random.zero_filters(checkpoints.read_state(model), filters_of(model), ["0.weight", "0.bias"]) == 1


def test_only_and_freeze_choose_what_moves() -> None:
    model = oracles.net()
    assert moving_parameters(model, only=["conv"]) == ["conv.bias", "conv.weight"]
    assert moving_parameters(model, only=["*.weight"], freeze=["bn"]) == ["conv.weight", "fc.weight"]
    model.conv.weight.requires_grad_(False)
    assert "conv.weight" not in moving_parameters(model)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="none of the 6 parameters is left to move .*--only"):
        moving_parameters(model)
    assert len(moving_parameters(model, only=["*"])) == 6
    with pytest.raises(ValueError, match="no parameter fits 'cnov'; the names are bn.bias"):
        moving_parameters(model, only=["cnov"])


def test_nothing_to_move_is_an_error() -> None:
    with pytest.raises(DirectionError, match="nothing moves"):
        oracles.make_directions(nn.Sequential(nn.BatchNorm1d(3)))
    with pytest.raises(ValueError, match="expected one of filter, .*got 'fliter'"):
        Random(normalise="fliter")


def test_names_that_collide_without_wrappers_are_refused() -> None:
    class Bad(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 2)
            self.weight = nn.Parameter(torch.ones(2, 2))

    with pytest.raises(ProblemError, match=r"are both called weight once wrappers' names"):
        named_tensors(Bad())
    assert canonical_name("a.module.weight") == "a.weight"


def test_a_plane_holds_its_three_models_and_has_one_unit() -> None:
    zero, one, two = ({k: v.double() for k, v in checkpoints.read_state(oracles.net(i)).items()} for i in range(3))
    parameters = list(filters_of(oracles.net()))
    (u, v), places = random.plane(zero, one, two, parameters, sources=("one", "two"))
    for place, model in zip(places, (one, two), strict=True):
        for name, w in zero.items():
            if w.is_floating_point() and w.dtype == torch.float64 and name in u.tensors:
                there = w + place[0] * u.tensors[name] + place[1] * v.tensors[name]
                torch.testing.assert_close(there, model[name], rtol=1e-9, atol=1e-9)
    flat = [np.concatenate([d.tensors[name].numpy().ravel() for name in parameters]) for d in (u, v)]
    assert np.linalg.norm(flat[0]) == pytest.approx(np.linalg.norm(flat[1]), rel=1e-12)
    assert flat[0] @ flat[1] == pytest.approx(0, abs=1e-9)
    halfway = {k: (w + two[k]) / 2 if w.is_floating_point() else w for k, w in zero.items()}
    with pytest.raises(DirectionError, match="lie on one line"):
        random.plane(zero, halfway, two, parameters, sources=("half", "two"))


def test_a_problem_unwraps_its_model() -> None:
    model = oracles.net()
    assert Problem(nn.DataParallel(model), oracles.images(), "cross_entropy").model is model


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("lora", r"a pattern is for a whole name; '\*lora\*' fits 2, such as 0.lora_A"),
        ("LoRA", r"'\*lora\*' fits 2"),
        ("lora_B", r"'\*lora_B\*' fits 1, such as 0.lora_B"),
        ("adapter", r"the names are 0.bias, 0.lora_A, 0.lora_B, 0.weight"),
    ],
)
def test_a_pattern_that_is_part_of_names_is_named_with_stars(pattern: str, advice: str) -> None:
    layer = torch.nn.Linear(2, 2)
    layer.register_parameter("lora_A", torch.nn.Parameter(torch.ones(1, 2)))
    layer.register_parameter("lora_B", torch.nn.Parameter(torch.ones(2, 1)))
    model = torch.nn.Sequential(layer)
    for given in ({"only": [pattern]}, {"freeze": [pattern]}):
        with pytest.raises(ValueError, match=f"no parameter fits '{pattern}'; .*{advice}"):
            moving_parameters(model, **given)
    if "fits" in advice:
        wider = advice.split("'")[1].replace("\\", "")
        assert all("lora" in name for name in moving_parameters(model, only=[wider]))
