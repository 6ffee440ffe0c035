"""Transformers: of small images and of characters.

Attention is written out, because torch's fused kernels have no second derivatives on CPUs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.errors import ProblemError

CONTEXT = 64  # characters in a window
_MOST_PATCHES = 8  # along an axis of an image
_POSITION_SCALE = 0.02  # of the initial position embeddings, as in arXiv 2010.11929's code


class Attention(nn.Module):
    """Multi-head self-attention; a causal one sees only earlier positions."""

    def __init__(self, dim: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return activations of shape (N, T, dim) for inputs of this shape."""
        samples, length, dim = x.shape
        split = self.qkv(x).reshape(samples, length, 3, self.heads, dim // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(dim // self.heads)
        if self.causal:
            later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        attended: Tensor = self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(samples, length, dim))
        return attended


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each added to its input after a layer norm of it (pre-norm)."""

    def __init__(self, dim: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, causal=causal)
        self.hidden, self.output = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return activations of shape (N, T, dim)."""
        x = x + self.attention(self.norm1(x))
        added: Tensor = x + self.output(functional.gelu(self.hidden(self.norm2(x))))
        return added


class VisionTransformer(nn.Module):
    """A transformer on the patches of small square images; the classifier sees the mean of the patches.

    Args:
        channels: channels of the images.
        size: height and width of the images, in pixels.
        classes: number of classes.
        dim: width of the activations.
        depth: number of blocks.
        heads: heads of each attention.

    Raises:
        ProblemError: no patch of at least 2 pixels divides the size into 2 to 8 patches along an axis.

    Source: Dosovitskiy et al., arXiv 2010.11929; mean pooling as in arXiv 2205.01580.
    """

    def __init__(
        self, channels: int = 3, size: int = 32, classes: int = 10, *, dim: int = 64, depth: int = 4, heads: int = 4
    ) -> None:
        super().__init__()
        patch = _patch(size)
        self.patches = nn.Conv2d(channels, dim, patch, patch)
        self.position = nn.Parameter(_POSITION_SCALE * torch.randn(1, (size // patch) ** 2, dim))
        self.blocks = nn.Sequential(*(TransformerBlock(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (N, classes), of images of shape (N, channels, size, size)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        logits: Tensor = self.linear(self.norm(self.blocks(tokens + self.position)).mean(1))
        return logits


class CharacterTransformer(nn.Module):
    """A causal transformer that predicts the next character.

    Args:
        classes: number of distinct characters.
        context: longest window, in characters.
        dim: width of the activations.
        depth: number of blocks.
        heads: heads of each attention.

    Source: Radford et al., 2019 (GPT-2's order of layer norms), at a small size; ours.
    """

    def __init__(self, classes: int, *, context: int = CONTEXT, dim: int = 64, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, dim)
        self.position = nn.Parameter(_POSITION_SCALE * torch.randn(1, context, dim))
        self.blocks = nn.Sequential(*(TransformerBlock(dim, heads, causal=True) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (N, T, classes), of the characters after each of x, shape (N, T), integers."""
        tokens = self.embedding(x) + self.position[:, : x.shape[1]]
        logits: Tensor = self.linear(self.norm(self.blocks(tokens)))
        return logits


def _patch(size: int) -> int:
    """Return the smallest patch of at least 2 pixels that gives 2 to 8 patches along an axis.

    >>> [_patch(size) for size in (8, 28, 32)]
    [2, 4, 4]
    """
    for patch in range(2, size // 2 + 1):
        if size % patch == 0 and size // patch <= _MOST_PATCHES:
            return patch
    raise ProblemError(f"images of {size} x {size} pixels don't divide into 2 to 8 patches along an axis; resize them")
