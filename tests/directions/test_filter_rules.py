"""Baseline: norms and rules counted by hand from the modules' definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from surfaceviz.curvature.flat_parameters import ParameterLayout, filter_scales
from surfaceviz.directions.random import random_directions, zero_filters
from surfaceviz.directions.specs import Random
from surfaceviz.problem.parameters import filters_of, moving_parameters, named_tensors


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.column = nn.Parameter(torch.ones(24, 1))
        self.vector = nn.Parameter(torch.ones(24))
        self.layer_scale = nn.Parameter(torch.ones(24, 1, 1))


def _pruned(module: nn.Module) -> Any:
    torch.manual_seed(3)
    return prune.l1_unstructured(module, "weight", 0.5)


@pytest.mark.parametrize(
    ("module", "moves"),
    [
        (nn.LSTM(1, 24), {"weight_ih_l0", "weight_hh_l0"}),
        (nn.LSTM(1, 3, proj_size=1), {"weight_ih_l0", "weight_hh_l0", "weight_hr_l0"}),
        (nn.GRU(1, 24), {"weight_ih_l0", "weight_hh_l0"}),
        (nn.RNN(1, 1), {"weight_ih_l0", "weight_hh_l0"}),
        (nn.GRUCell(1, 4), {"weight_ih", "weight_hh"}),
        (nn.Bilinear(1, 1, 4), {"weight"}),
        (nn.MultiheadAttention(1, 1, add_bias_kv=True), {"in_proj_weight", "out_proj.weight"}),
        (nn.MultiheadAttention(4, 1, kdim=1, vdim=1), {*(f"{k}_proj_weight" for k in "qkv"), "out_proj.weight"}),
        (nn.LayerNorm((3, 4)), set()),
        (Bare(), {"column"}),
        (spectral_norm(nn.Linear(18, 1)), {"weight_orig"}),
        (_pruned(nn.Linear(1, 4)), {"weight_orig"}),
        (parametrizations.weight_norm(nn.Linear(1, 4)), {"parametrizations.weight.original1"}),
        (parametrizations.spectral_norm(nn.Linear(4, 1)), {"parametrizations.weight.original"}),
    ],
)
def test_the_module_decides_what_is_a_gain(module: nn.Module, moves: set[str]) -> None:
    assert {name for name, each in filters_of(module).items() if not each.is_gain} == moves


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_old_weight_norm_leaves_the_rule_of_the_layer_to_its_direction() -> None:
    filters = filters_of(weight_norm(nn.LSTM(1, 3), "weight_ih_l0"))
    assert {name for name, each in filters.items() if not each.is_gain} == {"weight_ih_l0_v", "weight_hh_l0"}


@pytest.mark.parametrize("wrap", [spectral_norm, _pruned, parametrizations.spectral_norm])
def test_a_stored_weight_has_its_modules_filters(wrap: Callable[[nn.Module], nn.Module]) -> None:
    (filters,) = (
        f for name, f in filters_of(wrap(nn.ConvTranspose2d(6, 4, 2, groups=2))).items() if "bias" not in name
    )
    assert (filters.shape, filters.axes) == ((2, 3, 2, 2, 2), (0, 2))


def _direction(module: nn.Module, normalise: str = "filter") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    theta = {name: named.real for name, named in named_tensors(module).items()}
    filters, moving = filters_of(module), moving_parameters(module)
    (made,) = random_directions(theta, filters, moving, Random(normalise=normalise), count=1)
    return dict(made.tensors), theta


def test_a_pruned_filter_moves_by_the_norm_of_what_is_left() -> None:
    tensors, theta = _direction(_pruned(nn.Linear(6, 3)))
    mask = theta["weight_mask"]
    assert not tensors["weight_orig"][mask == 0].any()
    expected = (mask * theta["weight_orig"]).norm(dim=1)
    assert torch.allclose(tensors["weight_orig"].norm(dim=1), expected, rtol=1e-6)


def test_masks_of_a_checkpoint_replace_those_of_the_model() -> None:
    module = _pruned(nn.Linear(6, 3))
    theta = {name: named.real.clone() for name, named in named_tensors(module).items()}
    theta["weight_mask"] = 1 - theta["weight_mask"]
    mask = filters_of(module, None, theta)["weight_orig"].mask
    assert mask is not None
    assert torch.equal(mask, theta["weight_mask"] != 0)


@pytest.mark.parametrize("normalise", ["filter", "layer", "weight", "none"])
@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_the_padding_row_stays_still(kind: Any, normalise: str) -> None:
    module = kind(5, 3, padding_idx=2)
    nn.init.normal_(module.weight)
    tensors, theta = _direction(module, normalise)
    rows = tensors["weight"].norm(dim=1)
    assert (rows == 0).tolist() == [False, False, True, False, False]
    if normalise == "layer":
        kept = theta["weight"][[0, 1, 3, 4]].norm()
        assert float(tensors["weight"].norm()) == pytest.approx(float(kept), rel=1e-6)
    assert zero_filters(theta, filters_of(module), ["weight"]) == 1


def test_a_padding_row_that_an_output_layer_shares_moves() -> None:
    module = nn.ModuleDict({"embed": nn.Embedding(5, 3, padding_idx=0), "head": nn.Linear(3, 5, bias=False)})
    module["embed"].weight = module["head"].weight
    assert filters_of(module)["embed.weight"].mask is None


def test_the_scale_of_a_filter_counts_the_entries_that_move() -> None:
    module = _pruned(nn.Linear(6, 3))
    theta, filters = {"weight_orig": module.weight_orig.detach()}, filters_of(module)
    scales = filter_scales(theta, filters, ParameterLayout(("weight_orig",), (torch.Size((3, 6)),)))
    mask = module.weight_mask.double()
    expected = ((mask * theta["weight_orig"].double()).square().sum(1) / mask.sum(1).clamp_min(1)).sqrt()
    assert torch.allclose(scales.view(3, 6), mask * expected[:, None], rtol=1e-12)
