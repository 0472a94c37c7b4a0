"""Encoders of sentences: a small transformer, and a bag of tokens."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ownlatent.data.tokens import PAD
from ownlatent.networks.rows import ResidualMLP

_PARTS = 4  # of a batch by length: a batch of glosses then took less than half of its time


class TokenTransformer(nn.Module):
    """A pre-norm transformer encoder over tokens, averaged: int64 ``[B, L]`` to
    ``[B, num_features]``.

    Token embeddings and sine-cosine positions (Vaswani et al., 2017, section 3.5), layers with the
    norm first, a last norm, and the mean over the tokens that are there. Nothing depends on how far
    sentences are padded, and there is no batch norm.

    Args:
        vocabulary: V.
        width: of tokens and features.
        depth: layers.
        heads: of the attention.
        dropout: in embeddings, attention and layers: the noise that tells two views of one sentence
            apart (SimCSE: Gao et al., 2021).
    """

    def __init__(
        self,
        vocabulary: int,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.embedding = _embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        # Not nn.TransformerEncoder, whose layers start as copies of one.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.num_features = width

    def forward(self, tokens: Tensor) -> Tensor:
        parts = by_length(tokens)
        features = torch.cat([self._part(tokens[rows, :longest]) for rows, longest in parts])
        return features[torch.cat([rows for rows, _ in parts]).argsort()]

    def _part(self, tokens: Tensor) -> Tensor:
        absent = tokens == PAD
        x = self.embedding(tokens) * math.sqrt(self.num_features)
        x = self.dropout(x + positions(tokens.shape[1], self.num_features).to(x))
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=absent)
        return mean_of_there(self.norm(x), absent)


class TokenBag(nn.Module):
    """The mean of the tokens' embeddings, then a residual perceptron: int64 ``[B, L]`` to
    ``[B, num_features]``. The order of tokens says nothing.

    Args:
        vocabulary: V.
        width: of the embeddings.
        features: of the perceptron.
        dropout: in the embeddings.
    """

    def __init__(
        self, vocabulary: int, width: int = 256, features: int = 512, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.embedding = _embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        self.head = ResidualMLP(width, features, blocks=1)
        self.num_features = features

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.dropout(self.embedding(tokens))
        features: Tensor = self.head(mean_of_there(x, tokens == PAD))
        return features


def by_length(tokens: Tensor) -> list[tuple[Tensor, int]]:
    """Rows of ``[B, L]`` in parts of sentences of about one length, each with its longest.

    Padding is most of a batch whose sentences differ, and costs a CPU as much as words do. A GPU
    would have to wait for the lengths, and compile anew for each: it takes all as they are.
    """
    if tokens.device.type != "cpu" or torch.compiler.is_compiling():
        return [(torch.arange(len(tokens), device=tokens.device), tokens.shape[1])]
    lengths, rows = (tokens != PAD).sum(1).sort(stable=True)
    parts = zip(rows.chunk(_PARTS), lengths.chunk(_PARTS), strict=True)
    return [(part, max(1, int(longest[-1]))) for part, longest in parts]


def mean_of_there(x: Tensor, absent: Tensor) -> Tensor:
    """``[B, L, D]`` averaged over L where ``absent`` (bool ``[B, L]``) is not set."""
    there = (~absent).to(x.dtype)[..., None]
    return (x.masked_fill(absent[..., None], 0.0)).sum(1) / there.sum(1).clamp(min=1)


def positions(length: int, width: int) -> Tensor:
    """Sines and cosines of the place, float32 ``[length, width]``: in column 2i and 2i + 1 of
    ``place / 10000^(2i / width)``."""
    place = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([(place * rate).sin(), (place * rate).cos()], 2).flatten(1)


def _embedding(vocabulary: int, width: int) -> nn.Embedding:
    embedding = nn.Embedding(vocabulary, width, padding_idx=PAD)
    nn.init.normal_(embedding.weight, std=width**-0.5)
    with torch.no_grad():
        embedding.weight[PAD].zero_()
    return embedding


TOKEN_NETS: dict[str, Callable[[int], Any]] = {
    "small-transformer": TokenTransformer,
    "bag": TokenBag,
}
