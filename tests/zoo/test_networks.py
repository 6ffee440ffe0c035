"""Baseline: parameters counted by hand, the papers' figures, and attention computed with torch's own function."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.errors import ProblemError
from surfaceviz.zoo import network_table, networks, transformers
from surfaceviz.zoo.labelled_data import TEXT, VECTORS, Dataset


def _images(channels: int, height: int, width: int, classes: int = 10) -> Dataset:
    x = torch.randn(4, channels, height, width, generator=torch.Generator().manual_seed(0))
    return Dataset(splits={"train": (x, torch.arange(4) % classes)}, classes=classes)


def _resnet_size(blocks: int, width: int = 16, *, projection: bool = False) -> int:
    """Return the parameters of a CIFAR ResNet, layer by layer."""
    size = 3 * width * 9 + 2 * width
    before = width
    for stage in (width, 2 * width, 4 * width):
        for block in range(blocks):
            entered = before if block == 0 else stage
            size += 9 * entered * stage + 9 * stage * stage + 4 * stage
        size += (before * stage + 2 * stage) * (projection and stage != before)
        before = stage
    return size + 4 * width * 10 + 10


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("resnet20", _resnet_size(3)), ("resnet56", 853_018), ("resnet56-plain", 853_018),
        ("resnet56-projection", 855_770), ("resnet110", _resnet_size(18)), ("resnet56-wide4", _resnet_size(9, 64)),
        ("resnet44-projection", _resnet_size(7, projection=True)),
        ("densenet121", 6_956_298),
        ("vgg9", sum(9 * a * b + 3 * b for a, b in [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256),
                                                      (256, 256)]) + 4096 * 256 + 3 * 256 + 2570),
        ("mlp", 64 * 32 + 32 + 32 * 32 + 32 + 330),
    ],
)  # fmt: skip
def test_networks_have_the_sizes_counted_by_hand(name: str, exact: int) -> None:
    assert network_table.example_size(name) == exact


def test_the_papers_sizes_are_those_of_the_table() -> None:
    """He et al., table 6: 0.27, 0.46, 0.66, 0.85 and 1.7 million."""
    for depth, millions in {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}.items():
        assert network_table.example_size(f"resnet{depth}") / 1e6 == pytest.approx(millions, rel=0.02)
        modules = networks.ResNet(networks.DEPTHS[depth]).modules()
        assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in modules) == depth


@pytest.mark.parametrize("depth", [20, 56])
def test_plain_and_skip_networks_share_names_and_initial_weights_and_differ_by_the_addition(depth: int) -> None:
    data = _images(3, 8, 8)
    skip, plain = (network_table.build(f"resnet{depth}{suffix}", data, 3).eval() for suffix in ("", "-plain"))
    ours, theirs = skip.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    x = data.splits["train"][0]
    assert not torch.allclose(skip(x), plain(x))
    for block in skip.modules():
        if isinstance(block, networks.Block):
            block.skip = False
    assert torch.equal(skip(x), plain(x))


def test_a_projection_replaces_the_padding_only_where_the_shape_changes() -> None:
    model = networks.ResNet(3, projection=True)
    found = [block.projection is not None for block in model.modules() if isinstance(block, networks.Block)]
    assert found == [False, False, False, True, False, False, True, False, False]
    assert not any(b.projection for b in networks.ResNet(3, skip=False, projection=True).modules()
                   if isinstance(b, networks.Block))  # fmt: skip


# Wide networks and 110 layers are the same classes at other sizes, and slow.
@pytest.mark.parametrize("name", [n for n in network_table.NETWORKS if "-wide" not in n and "110" not in n])
def test_every_network_gives_logits_for_the_shapes_that_it_takes(name: str) -> None:
    network = network_table.NETWORKS[name]
    if TEXT in network.kinds:
        windows = torch.arange(2 * transformers.CONTEXT).view(2, -1) % 7
        data = Dataset(splits={"train": (windows, windows)}, classes=7, kind=TEXT)
        expected: tuple[int, ...] = (2, transformers.CONTEXT, 7)
    else:
        data, expected = _images(1, 8, 8, 5), (4, 5)
    assert network_table.build(name, data, 0)(data.splits["train"][0]).shape == expected


def test_networks_refuse_data_that_they_do_not_take() -> None:
    vectors = Dataset(splits={"train": (torch.zeros(2, 6), torch.tensor([0, 1]))}, classes=2, kind=VECTORS)
    assert network_table.build("mlp", vectors, 0)(torch.zeros(2, 6)).shape == (2, 2)
    with pytest.raises(ProblemError, match="resnet20 takes images, but the data are vectors"):
        network_table.build("resnet20", vectors, 0)
    with pytest.raises(ProblemError, match="vgg9 takes square images, but these have 8 x 12 pixels"):
        network_table.build("vgg9", _images(1, 8, 12), 0)
    with pytest.raises(ProblemError, match="densenet121 takes images of at least 8 x 8 pixels"):
        network_table.build("densenet121", _images(1, 6, 6), 0)
    with pytest.raises(ProblemError, match="13 x 13 pixels don't divide into 2 to 8 patches"):
        network_table.build("vit", _images(1, 13, 13), 0)
    with pytest.raises(ProblemError, match="unknown network 'resnet57'; give one of resnet20, "):
        network_table.build("resnet57", vectors, 0)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torchs(causal: bool) -> None:
    torch.manual_seed(0)
    attention = transformers.Attention(8, 2, causal=causal).double()
    x = torch.randn(3, 5, 8, dtype=torch.float64)

    def heads(part: Tensor) -> Tensor:
        return part.view(3, 5, 2, 4).transpose(1, 2)

    q, k, v = (heads(part) for part in attention.qkv(x).chunk(3, -1))
    joined = functional.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).reshape(3, 5, 8)
    torch.testing.assert_close(attention(x), attention.out(joined), rtol=1e-12, atol=1e-12)


def test_the_character_transformer_sees_only_earlier_characters() -> None:
    torch.manual_seed(0)
    model = transformers.CharacterTransformer(5, context=6)
    x = torch.tensor([[0, 1, 2, 3, 4, 0]])
    changed = torch.tensor([[0, 1, 2, 3, 1, 2]])
    torch.testing.assert_close(model(x)[:, :4], model(changed)[:, :4])
    assert not torch.allclose(model(x)[:, 4:], model(changed)[:, 4:])
