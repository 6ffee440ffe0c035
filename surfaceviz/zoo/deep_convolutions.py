"""VGG and DenseNet for small images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_VGG9 = ((64, 64), (128, 128), (256, 256, 256))  # widths of the convolutions before each pooling
_HIDDEN = 256
_DENSENET121 = (6, 12, 24, 16)  # layers of each dense block


def vgg9(channels: int = 3, size: int = 32, classes: int = 10) -> nn.Sequential:
    """Return VGG-9: seven 3 x 3 convolutions with batch norm in three stages, and two linear layers.

    Args:
        channels: channels of the images.
        size: height and width of the images, in pixels.
        classes: number of classes.

    Source: the VGG9 of Li et al., arXiv 1712.09913 (the authors' code), after Simonyan & Zisserman, arXiv 1409.1556.
    """
    features: list[nn.Module] = []
    for stage in _VGG9:
        for width in stage:
            features += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        features.append(nn.MaxPool2d(2, ceil_mode=True))
        size = -(-size // 2)
    hidden = [nn.Flatten(), nn.Linear(channels * size**2, _HIDDEN), nn.BatchNorm1d(_HIDDEN), nn.ReLU()]
    return nn.Sequential(*features, *hidden, nn.Linear(_HIDDEN, classes))


class DenseLayer(nn.Module):
    """A bottleneck layer whose ``growth`` channels are joined to its input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return activations of shape (N, width + growth, H, W)."""
        y = self.conv1(functional.relu(self.bn1(x)))
        return torch.cat([self.conv2(functional.relu(self.bn2(y))), x], 1)


def densenet121(channels: int = 3, classes: int = 10, *, growth: int = 32) -> nn.Sequential:
    """Return DenseNet-121 for small images of at least 8 x 8 pixels: a 3 x 3 convolution first, without pooling.

    Args:
        channels: channels of the images; their size is free.
        classes: number of classes.
        growth: channels that a layer adds; 32 in the paper.

    Source: Huang et al., arXiv 1608.06993, table 1, with the first layer of the CIFAR networks of section 4.2.
    """
    width = 2 * growth
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
    for index, count in enumerate(_DENSENET121):
        layers += [DenseLayer(width + i * growth, growth) for i in range(count)]
        width += count * growth
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        if index < len(_DENSENET121) - 1:
            layers += [nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
