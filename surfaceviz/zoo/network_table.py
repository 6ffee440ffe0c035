"""The networks that can be trained, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from surfaceviz.errors import ProblemError
from surfaceviz.zoo import deep_convolutions, networks, transformers
from surfaceviz.zoo.labelled_data import IMAGES, TEXT, Dataset
from surfaceviz.zoo.training import Recipe

_WIDTH = 16  # of the first stage of a ResNet
_WIDER = (2, 4, 8)  # factors of the wide networks of arXiv 1712.09913
_PLAIN_RATE = 0.01  # a plain network of 56 layers diverges at the rate of its twin; ours
_DEEP = 32  # layers from which a plain network needs that rate

# Suffix of a ResNet's name -> what it is for.
_TWINS = {
    "": "with skips, for a smooth surface",
    "-plain": "without skips, for a rough one",
    "-projection": "with projection shortcuts, as in the code of arXiv 1712.09913",
}

# A step schedule of 1512.03385 takes 64k steps; one cycle needs fewer epochs for the same accuracy.
_SGD = Recipe(epochs=30, batch_size=128)
_ADAMW = Recipe(epochs=30, batch_size=128, optimiser="adamw", peak_rate=1e-3, weight_decay=0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The shape of one input, and the number of classes.

    Attributes:
        channels: channels of an image, or features of a vector.
        height: of an image in pixels, 1 for a vector.
        width: likewise.
        classes: classes, or distinct characters.
    """

    channels: int
    height: int
    width: int
    classes: int

    @property
    def features(self) -> int:
        """The number of entries of an input."""
        return self.channels * self.height * self.width


CIFAR = Shape(channels=3, height=32, width=32, classes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network that can be trained.

    Attributes:
        summary: a phrase that describes it.
        build: returns the untrained network for a shape.
        recipe: the recipe by default.
        kinds: the kinds of data that it takes.
        square: whether images must be square.
        smallest: the least height and width of images, in pixels.
        example: a shape for the number of parameters.
    """

    summary: str
    build: Callable[[Shape], nn.Module]
    recipe: Recipe = _SGD
    kinds: tuple[str, ...] = (IMAGES,)
    square: bool = False
    smallest: int = 1
    example: Shape = CIFAR


def _resnet(shape: Shape, *, blocks: int, factor: int, skip: bool, projection: bool) -> nn.Module:
    return networks.ResNet(
        blocks, channels=shape.channels, classes=shape.classes, skip=skip, width=factor * _WIDTH, projection=projection
    )


def _residual() -> dict[str, Network]:
    """Return the ResNets: each depth with padding, projections and without skips; 56 layers also wide."""
    found = {}
    for depth, blocks in networks.DEPTHS.items():
        for suffix, words in _TWINS.items():
            for factor in (1, *(_WIDER if depth == 56 and suffix != "-projection" else ())):  # noqa: PLR2004
                build = partial(
                    _resnet, blocks=blocks, factor=factor, skip=suffix != "-plain", projection=suffix == "-projection"
                )
                slow = suffix == "-plain" and depth >= _DEEP
                found[f"resnet{depth}{suffix}" + f"-wide{factor}" * (factor > 1)] = Network(
                    summary=f"images: {depth} layers" + f", {factor} times as wide," * (factor > 1) + f" {words}",
                    build=build,
                    recipe=replace(_SGD, peak_rate=_PLAIN_RATE, epochs=60, batch_size=64) if slow else _SGD,
                )
    return found


_DIGITS = Shape(channels=1, height=8, width=8, classes=10)
_FLAT = ("images", "vectors")

NETWORKS: dict[str, Network] = {
    **_residual(),
    "vgg9": Network(
        summary="images: nine layers without skips, with batch norm",
        build=lambda shape: deep_convolutions.vgg9(shape.channels, shape.height, shape.classes),
        square=True,
    ),
    "densenet121": Network(
        summary="images: 121 layers, each joined to all before",
        build=lambda shape: deep_convolutions.densenet121(shape.channels, shape.classes),
        smallest=8,
    ),
    "cnn": Network(
        summary="images: three convolutions with batch norm",
        build=lambda shape: networks.batch_norm_cnn(shape.channels, shape.classes),
        example=_DIGITS,
    ),
    "small-cnn": Network(
        summary="images: two convolutions, no batch norm",
        build=lambda shape: networks.small_cnn(shape.classes, channels=shape.channels, size=shape.height),
        recipe=replace(_SGD, peak_rate=0.05),
        square=True,
        smallest=4,
        example=Shape(channels=1, height=28, width=28, classes=10),
    ),
    "mlp": Network(
        summary="images or vectors: two hidden ReLU layers of 32",
        build=lambda shape: networks.mlp(shape.features, 32, 32, shape.classes),
        recipe=replace(_SGD, peak_rate=0.05),
        kinds=_FLAT,
        example=_DIGITS,
    ),
    "mlp-wide": Network(
        summary="images or vectors: two hidden ReLU layers of 512",
        build=lambda shape: networks.mlp(shape.features, 512, 512, shape.classes),
        recipe=replace(_SGD, peak_rate=0.05),
        kinds=_FLAT,
        example=_DIGITS,
    ),
    "mlp-tanh": Network(
        summary="images or vectors: a hidden tanh layer of 32, for gradient descent",
        build=lambda shape: networks.mlp(shape.features, 32, shape.classes, activation=nn.Tanh),
        recipe=Recipe(epochs=1000, batch_size=None, peak_rate=0.1, weight_decay=0.0, momentum=0.0, schedule="constant"),
        kinds=_FLAT,
        example=_DIGITS,
    ),
    "vit": Network(
        summary="images: a transformer on patches, four blocks of 64",
        build=lambda shape: transformers.VisionTransformer(shape.channels, shape.height, shape.classes),
        recipe=_ADAMW,
        square=True,
        smallest=4,
    ),
    "char-transformer": Network(
        summary="text: a causal transformer, three blocks of 64",
        build=lambda shape: transformers.CharacterTransformer(shape.classes),
        recipe=replace(_ADAMW, batch_size=32),
        kinds=(TEXT,),
        example=Shape(channels=1, height=1, width=transformers.CONTEXT, classes=64),
    ),
}


def network_of(name: str) -> Network:
    """Return the network of a name.

    Raises:
        ProblemError: there is none.
    """
    if name not in NETWORKS:
        raise ProblemError(f"unknown network {name!r}; give one of {', '.join(NETWORKS)}")
    return NETWORKS[name]


def shape_of(data: Dataset) -> Shape:
    """Return the shape of a data set's inputs."""
    sizes = data.shape if data.kind == IMAGES else (data.shape[0], 1, 1)
    return Shape(channels=sizes[0], height=sizes[1], width=sizes[2], classes=data.classes)


def build(name: str, data: Dataset, seed: int) -> nn.Module:
    """Return the network of a name for a data set, with the initial weights of a seed.

    Raises:
        ProblemError: the name is unknown, or the network does not take such data.
    """
    network, shape = network_of(name), shape_of(data)
    if data.kind not in network.kinds:
        raise ProblemError(f"{name} takes {' or '.join(network.kinds)}, but the data are {data.kind}")
    if network.square and data.kind == IMAGES and shape.height != shape.width:
        raise ProblemError(f"{name} takes square images, but these have {shape.height} x {shape.width} pixels")
    if data.kind == IMAGES and min(shape.height, shape.width) < network.smallest:
        raise ProblemError(
            f"{name} takes images of at least {network.smallest} x {network.smallest} pixels, but these have "
            f"{shape.height} x {shape.width}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network.build(shape)


def example_size(name: str) -> int:
    """Return the number of parameters of a network for its example's shape, without allocating them."""
    network = network_of(name)
    with torch.device("meta"):
        return networks.parameter_count(network.build(network.example))


def example_text(name: str) -> str:
    """Return the example's shape as text, such as ``3 x 32 x 32, 10 classes``."""
    network, shape = network_of(name), network_of(name).example
    if network.kinds == (TEXT,):
        return f"{shape.classes} characters"
    sizes = [shape.channels, shape.height, shape.width]
    return " x ".join(map(str, sizes if math.prod(sizes[1:]) > 1 else sizes[:1])) + f", {shape.classes} classes"
