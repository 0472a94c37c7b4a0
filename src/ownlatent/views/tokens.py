"""Views of sentences: tokens deleted or masked, and spans."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ownlatent.data.tokens import MASK, PAD
from ownlatent.philox import uniform
from ownlatent.views.recipe import called

# Each operation's draws are apart from the others'.
_DELETED, _MASKED, _CROPPED = 0, 1 << 12, 2 << 12


@dataclass(frozen=True)
class TokenRecipe:
    """The distribution of one view of a sentence: a span, then deletion, then masking.

    With none of them the views are the sentence itself, and only the network's dropout tells them
    apart (SimCSE: Gao et al., 2021).
    """

    span: float = 1.0
    """Least share of the tokens in the span that is kept; the share is uniform from it to 1."""
    delete: float = 0.0
    """Probability that a token is taken out; what is left moves together."""
    mask: float = 0.0
    """Probability that a token is replaced by the mask."""


TOKEN_RECIPES: dict[str, TokenRecipe] = {
    "text": TokenRecipe(delete=0.2),
    "text-dropout": TokenRecipe(),
    "text-mask": TokenRecipe(mask=0.2),
    "text-crop": TokenRecipe(span=0.5),
}
"""By name, both views alike."""


class TokenViews(nn.Module):
    """Draws and makes the views of a batch of sentences.

    Args:
        recipe: a key of :data:`TOKEN_RECIPES`, or a :class:`TokenRecipe`.
        views: how many.

    Raises:
        UsageError: the name is unknown.
    """

    def __init__(self, recipe: str | TokenRecipe, views: int = 2) -> None:
        super().__init__()
        if isinstance(recipe, str):
            recipe = called(recipe, TOKEN_RECIPES, " of sentences")
        self.recipe, self.count = recipe, views

    def forward(
        self,
        tokens: Tensor,
        ids: Tensor,
        epoch: Tensor | int,
        seed: Tensor | int,
        sizes: Tensor | None = None,
    ) -> list[Tensor]:
        """The views of a batch: a pure function of its arguments, sentence by sentence, that does
        not depend on how far they are padded.

        Args:
            tokens: int64 ``[B, L]``, padded with 0 at the end.
            ids: int64 ``[B]``.
            epoch, seed: integers, or int64 scalars.

        Returns:
            int64 ``[B, L]`` each, padded with 0 at the end, at least one token a sentence.
        """
        epoch = torch.as_tensor(epoch, device=ids.device)
        return [self._view(tokens, ids, epoch, seed, number) for number in range(self.count)]

    def _view(
        self, tokens: Tensor, ids: Tensor, epoch: Tensor, seed: Tensor | int, view: int
    ) -> Tensor:
        def drawn(purpose: int, count: int) -> Tensor:
            return uniform(ids, seed=seed, epoch=epoch, stream=purpose + view, count=count)

        recipe, width = self.recipe, tokens.shape[1]
        if recipe.span < 1:
            tokens = _compact(tokens, _span(tokens, recipe.span, *drawn(_CROPPED, 2).unbind(1)))
        if recipe.delete:
            tokens = _compact(tokens, _spared(tokens, recipe.delete, drawn(_DELETED, width)))
        if recipe.mask:
            spared = _spared(tokens, recipe.mask, drawn(_MASKED, width))
            tokens = tokens.masked_fill((tokens != PAD) & ~spared, MASK)
        return tokens


def _spared(tokens: Tensor, probability: float, u: Tensor) -> Tensor:
    """Which tokens are left alone, bool ``[B, L]``: those with ``u >= probability``; where there is
    none, the one with the largest u."""
    u = u.masked_fill(tokens == PAD, -1.0)
    spared = u >= probability
    return spared | (u == u.amax(1, keepdim=True)) & (u >= 0)


def _span(tokens: Tensor, least: float, share: Tensor, start: Tensor) -> Tensor:
    """Which tokens lie in the span, bool ``[B, L]``: a share of them that is uniform in
    ``[least, 1]``, rounded up, from a uniform start."""
    there = (tokens != PAD).sum(1)
    kept = (there * (least + (1 - least) * share)).ceil().long()
    first = (start * (there - kept + 1)).long()
    place = torch.arange(tokens.shape[1], device=tokens.device)
    return (place >= first[:, None]) & (place < (first + kept)[:, None])


def _compact(tokens: Tensor, kept: Tensor) -> Tensor:
    """The kept tokens in their order at the start, padding after them."""
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)
    return tokens.masked_fill(~kept, PAD).gather(1, order)
