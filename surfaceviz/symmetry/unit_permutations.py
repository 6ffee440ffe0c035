"""Permutations of hidden units, which leave the function of a network as it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.symmetry.layer_pairs import adjacent_pairs, layers_in_order

_SWEEPS = 10  # over the hidden layers, each of which depends on its neighbours; ours


def hidden_units(objective: Objective, theta: Theta) -> list[Tensor]:
    """Return for each hidden layer of successive linear layers the places of each unit's entries in a vector.

    Each element has the shape (units, entries): the incoming weights, the bias and the outgoing weights of a unit, as
    indices into the flat parameters. Layers with parameters that the vector does not hold are left out. Costs one pass.
    """
    pairs = adjacent_pairs(layers_in_order(objective, theta))
    slices = objective.layout.slices()
    found = []
    for pair in pairs:
        linear = isinstance(pair.first.module, nn.Linear) and isinstance(pair.second.module, nn.Linear)
        names = [*pair.first.names.values(), pair.second.names["weight"]]
        if not linear or pair.source is not pair.first or any(name not in slices for name in names):
            continue
        units = pair.first.outputs
        if theta[names[-1]].shape[1] != units:
            continue
        places = [torch.arange(slices[n].start, slices[n].stop) for n in names]
        found.append(torch.cat([*(each.view(units, -1) for each in places[:-1]), places[-1].view(-1, units).T], dim=1))
    return found


def match_units(vector: Tensor, other: Tensor, layers: Sequence[Tensor]) -> Tensor:
    """Return ``other`` (P,) with the hidden units of each layer permuted to lie as near to ``vector`` as found.

    A layer's permutation minimises the distance by an assignment (Ainsworth et al., arXiv 2209.04836, section 3.2).
    Several hidden layers are matched in turn until nothing changes, which need not be the best over all.
    """
    matched = other.clone()
    for _ in range(_SWEEPS):
        before = matched.clone()
        for places in layers:
            cost = torch.cdist(vector[places], matched[places]).square()
            order = torch.as_tensor(linear_sum_assignment(cost.numpy())[1])
            moved = matched.clone()
            moved[places] = matched[places[order]]
            matched = moved
        if torch.equal(before, matched):
            break
    return matched
