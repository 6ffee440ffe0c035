"""A decoder of the size of GPT-2, for `bench_memory.py`: 124,439,808 parameters by default, random."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_HEAD = 64  # width of a head


class Block(nn.Module):
    """Causal attention and an MLP, each after a layer norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next hidden states, (n, t, width)."""
        n, t, width = x.shape
        q, k, v = (part.view(n, t, -1, _HEAD).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(n, t, width))
        hidden: Tensor = self.down(functional.gelu(self.up(self.norm2(x))))
        return x + hidden


class Decoder(nn.Module):
    """A language model with tied embeddings.

    Source: GPT-2's smallest size (Radford et al., 2019).
    """

    def __init__(self, vocabulary: int = 50257, width: int = 768, layers: int = 12, context: int = 1024) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, t, vocabulary) of tokens (n, t)."""
        hidden = self.tokens(x) + self.places(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            hidden = block(hidden)
        logits: Tensor = functional.linear(self.norm(hidden), self.tokens.weight)
        return logits
