"""Modules of the random networks: a residual block, and averaged embeddings, tied or not."""

from __future__ import annotations

from torch import Tensor, nn

TOKENS = 7


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.inner(x)
        return y


class Embedded(nn.Module):
    """The mean of tokens' embeddings, classified; with the embedding as the last layer if ``tied``."""

    def __init__(self, width: int, outputs: int, activation: nn.Module, *, tied: bool) -> None:
        super().__init__()
        self.tokens = nn.Embedding(TOKENS, width)
        self.mix, self.activation = nn.Linear(width, width), activation
        self.head = nn.Linear(width, TOKENS if tied else outputs)
        if tied:
            self.head.weight = self.tokens.weight
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.activation(self.mix(self.tokens(x).mean(1))))
        return y[:, : self.outputs]
