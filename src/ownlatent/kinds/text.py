"""Text: sentences, views by deletion, masks, spans and dropout, a small transformer."""

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ownlatent.checks import require_options, with_tuples
from ownlatent.config import Plan, Pretrain
from ownlatent.data.opening import check_labels
from ownlatent.data.sentences import Sentences, open_sentences
from ownlatent.data.texts import is_text
from ownlatent.data.tokens import Tokens
from ownlatent.errors import UsageError
from ownlatent.kinds.kind import Kind, Looks, describe, require_named
from ownlatent.networks.renorm import replace_batch_norm
from ownlatent.networks.tokens import TOKEN_NETS, TokenBag
from ownlatent.views.tokens import TOKEN_RECIPES, TokenViews

_BOUNDS = {"length": (1, 2**12)}
_MOST_TOKENS = 2**17
_TOGETHER = 256  # sentences that are made tokens, and encoded, at once


class Text(Kind):
    name = "text"
    noun = "sentences"
    unit = "tokens"
    backbone: ClassVar = "small-transformer"

    def open(
        self, data: Any, *, size: int, labelled: bool, label: str | None, like: Any = None
    ) -> Sentences:
        if not isinstance(data, Sentences):
            return open_sentences(data, meaning=like, label=label, labelled=labelled)
        if labelled and data.labels is None:
            raise UsageError("The sentences given have no labels: open a file that has some.")
        if labelled:
            check_labels("the data", data.labels)
        if like is not None and data.meaning != like:
            raise UsageError(
                "The sentences given have other tokens than the encoder: give their file or list, "
                "so that they are read with the encoder's tokens."
            )
        return data

    def looks(self, config: Pretrain, samples: Sentences, family: str) -> Looks:
        if config.crops or config.reference or config.size:
            raise UsageError("Sentences have no pixels: leave --size, --crops and --reference out.")
        return Looks(samples.meaning.length, config.views or next(iter(TOKEN_RECIPES)), (), ())

    def views(self, config: Pretrain, plan: Plan, samples: Sentences) -> nn.Module:
        return TokenViews(plan.views)

    def preprocessing(self, plan: Plan, samples: Sentences) -> Tokens:
        return samples.meaning

    def restored(self, stored: dict[str, Any]) -> Tokens:
        if stored.keys() != {field.name for field in fields(Tokens)}:
            raise TypeError("preprocessing must hold tokenizer, weights, length and kind")
        tokens = Tokens(**with_tuples(stored))
        require_options(tokens, _BOUNDS)
        weights = tokens.weights
        if len(weights) > _MOST_TOKENS or not all(0 <= weight < 100 for weight in weights):
            raise TypeError("weights must be numbers from 0 to 100, of not too many tokens")
        tokens.check()
        return tokens

    def preprocess(self, preprocessing: Tokens) -> nn.Module:
        return _ToTokens(preprocessing)

    def network(
        self, name: str, preprocessing: Tokens, size: int, **options: Any
    ) -> tuple[nn.Module, str]:
        require_named(name, TOKEN_NETS, self.noun, options)
        net = TOKEN_NETS[name](preprocessing.vocabulary)
        if isinstance(net, TokenBag):  # the transformer has no batch norm
            replace_batch_norm(net, options.get("norm", "batch"))
        return net, describe(name, net, f"{preprocessing.vocabulary:,} tokens")

    def raw(self, preprocessing: Tokens) -> tuple[str, nn.Module]:
        return "bag of tokens", BagOfTokens(preprocessing)


class _ToTokens(nn.Module):
    """Tokens int64 ``[B, L]`` as they are, once they are known to be some."""

    here: Tensor

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.settings = tokens
        self.register_buffer("here", torch.empty(0), persistent=False)  # knows the device

    def forward(self, tokens: Tensor, sizes: None = None) -> Tensor:
        most = self.settings.vocabulary
        if tokens.dtype != torch.int64 or tokens.ndim != 2 or not tokens.numel():
            raise UsageError(
                "Give sentences as texts or as tokens int64 [B, L]; got "
                f"{str(tokens.dtype).removeprefix('torch.')} {list(tokens.shape)}."
            )
        if int(tokens.min()) < 0 or int(tokens.max()) >= most:
            raise UsageError(f"Tokens are numbers from 0 to {most - 1:,}; make them from texts.")
        there = tokens != 0
        if not bool(there[:, 0].all()) or bool((there[:, 1:] & ~there[:, :-1]).any()):
            raise UsageError("Sentences begin with a token, and zeros only follow the last one.")
        return tokens.to(self.here.device)

    def tensors(self, sentences: Any) -> list[Tensor]:
        """Texts, one text, or a file of them, as tensors ``[b, L]``."""
        if isinstance(sentences, Path) or (isinstance(sentences, str) and _is_file(sentences)):
            opened = open_sentences(sentences, meaning=self.settings)
            return list(torch.split(opened.tokens, _TOGETHER))
        if isinstance(sentences, str):
            sentences = [sentences]
        if not isinstance(sentences, Sequence) or not sentences:
            raise UsageError("Give a list of at least one sentence, or tokens int64 [B, L].")
        parts = range(0, len(sentences), _TOGETHER)
        return [self.settings.encode(sentences[at : at + _TOGETHER]) for at in parts]


def _is_file(text: str) -> bool:
    """Whether a text is a file's name, and not a sentence."""
    return os.path.isfile(os.path.expanduser(text)) and is_text(text)


class BagOfTokens(nn.Module):
    """The baseline: int64 ``[B, L]`` to float32 ``[B, V]``, how often each token occurs times its
    inverse document frequency, scaled to length 1 (tf-idf: Salton and Buckley, 1988)."""

    weights: Tensor

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(tokens.weights), persistent=False)

    def forward(self, tokens: Tensor, sizes: None = None) -> Tensor:
        counts = torch.zeros(len(tokens), len(self.weights), device=tokens.device)
        counts.scatter_add_(1, tokens, torch.ones_like(tokens, dtype=counts.dtype))
        return F.normalize(counts * self.weights, dim=1)
