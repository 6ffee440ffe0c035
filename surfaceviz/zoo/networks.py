"""Residual networks, and small ones: perceptrons and convolutions."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

# Layers of a CIFAR ResNet -> blocks in each of its three stages: depth = 6 blocks + 2 (arXiv 1512.03385, section 4.2).
DEPTHS = {20: 3, 32: 5, 44: 7, 56: 9, 110: 18}


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch norm; with ``skip``, plus a shortcut.

    Where the shape changes, the shortcut subsamples and pads channels with zeros, without parameters (option A); with
    ``projection`` it is a 1 x 1 convolution with batch norm (option B).

    Source: He et al., arXiv 1512.03385, section 4.2 and table 3; option B as in the code of arXiv 1712.09913.
    """

    projection: nn.Sequential | None

    def __init__(self, width_in: int, width: int, stride: int, *, skip: bool, projection: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.padding, self.skip = stride, width - width_in, skip
        changes = stride != 1 or width != width_in
        self.projection = (
            nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            if skip and projection and changes
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's activations, shape (N, width, H / stride, W / stride)."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.skip:
            y = y + self._shortcut(x)
        return functional.relu(y)

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.projection is not None:
            projected: Tensor = self.projection(x)
            return projected
        if self.stride == 1 and self.padding == 0:
            return x
        return functional.pad(
            x[:, :, :: self.stride, :: self.stride],
            (0, 0, 0, 0, self.padding // 2, self.padding - self.padding // 2),
        )


class ResNet(nn.Module):
    """A CIFAR-style residual network of depth 6 ``blocks`` + 2, or its plain twin without skips.

    The twins have the same parameters by name, and the same initial weights from the same seed: they differ only in
    the addition.

    Args:
        blocks: blocks in each of the three stages; see `DEPTHS`.
        channels: channels of the images; their size is free.
        classes: number of classes.
        skip: whether blocks add their input.
        width: channels of the first stage; 16 k for a network that is k times as wide.
        projection: whether a shortcut that changes the shape is a 1 x 1 convolution instead of a padding.

    Source: He et al., arXiv 1512.03385, section 4.2 (widths 16/32/64); the plain twin is the
    'noshort' network of Li et al., arXiv 1712.09913.
    """

    def __init__(
        self,
        blocks: int = 3,
        *,
        channels: int = 3,
        classes: int = 10,
        skip: bool = True,
        width: int = 16,
        projection: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        widths = [width, width, 2 * width, 4 * width]
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    Block(
                        widths[i] if j == 0 else widths[i + 1],
                        widths[i + 1],
                        2 if i and not j else 1,
                        skip=skip,
                        projection=projection,
                    )
                    for j in range(blocks)
                )
            )
            for i in range(3)
        )
        self.linear = nn.Linear(widths[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (N, classes), of images of shape (N, channels, H, W)."""
        x = functional.relu(self.bn(self.conv(x)))
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


def mlp(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return a fully connected network on flattened input, such as ``mlp(64, 32, 32, 10)``."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width_in, width in pairwise(widths):
        layers += [nn.Linear(width_in, width), activation()]
    return nn.Sequential(*layers[:-1])


def small_cnn(classes: int = 10, *, channels: int = 1, size: int = 28) -> nn.Sequential:
    """Return a network of two convolutions without batch norm, for square images of at least 4 x 4 pixels.

    It has about 52,000 parameters for 28 x 28 grey images.
    """
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (size // 4) ** 2, 30),
        nn.ReLU(),
        nn.Linear(30, classes),
    )


def batch_norm_cnn(channels: int = 1, classes: int = 10, width: int = 16) -> nn.Sequential:
    """Return a plain network of three 3 x 3 convolutions with batch norm, then mean pooling and a linear layer.

    It has about 24,000 parameters at the default width, and no skip connections.
    """
    layers: list[nn.Module] = []
    for width_in, width_out, stride in ((channels, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2)):
        layers += [
            nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes))


def parameter_count(model: nn.Module) -> int:
    """Return the number of parameters, tied ones counted once.

    >>> parameter_count(mlp(64, 32, 32, 10))
    3466
    """
    return sum(p.numel() for p in model.parameters())
