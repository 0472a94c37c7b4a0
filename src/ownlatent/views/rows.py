"""Views of table rows: seeded noise, scaling, masking and swapping."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ownlatent.data.columns import Columns, Encode
from ownlatent.philox import box_muller, uniform, words
from ownlatent.views.recipe import called

_SWAPPED = 1 << 12  # this stream's draws are apart from those of uniforms


@dataclass(frozen=True)
class RowRecipe:
    """The distribution of one view of a row.

    Each column has its own draws; a category's one-hot numbers share theirs.
    """

    swap: float = 0.0
    """Probability that a column takes the value of another row (SCARF: Bahri et al., 2022)."""
    mask: float = 0.0
    """Probability that a column is masked: a number to the mean, a category to zeros."""
    noise: float = 0.0
    """Deviation of the normal noise added to standardised numbers and one-hot categories."""
    scale: float = 0.0
    """Encoded columns are multiplied by factors from ``[1 - scale, 1 + scale]``."""


ROW_RECIPES: dict[str, RowRecipe] = {
    "rows": RowRecipe(swap=0.3, noise=0.1),
    "rows-swap": RowRecipe(swap=0.6),
    "rows-mask": RowRecipe(mask=0.3),
    "rows-noise": RowRecipe(noise=0.3),
    "rows-all": RowRecipe(swap=0.2, mask=0.1, noise=0.1, scale=0.1),
}
"""By name, both views alike."""


class RowViews(nn.Module):
    """Draws and makes the views of a batch of rows.

    Args:
        recipe: a key of :data:`ROW_RECIPES`, or a :class:`RowRecipe`.
        columns: what the rows hold.
        pool: float64 ``[N, C]``, the rows that swapped values come from.
        views: how many.

    Raises:
        UsageError: the name is unknown.
    """

    pool: Tensor
    owners: Tensor

    def __init__(
        self, recipe: str | RowRecipe, columns: Columns, pool: Tensor, views: int = 2
    ) -> None:
        super().__init__()
        if isinstance(recipe, str):
            recipe = called(recipe, ROW_RECIPES, " of rows")
        self.recipe, self.count = recipe, views
        self.encode = Encode(columns)
        self.register_buffer("owners", self.encode.owners, persistent=False)
        self.register_buffer("pool", pool, persistent=False)

    def forward(
        self,
        rows: Tensor,
        ids: Tensor,
        epoch: Tensor | int,
        seed: Tensor | int,
        sizes: Tensor | None = None,
    ) -> list[Tensor]:
        """The views of a batch: a pure function of its arguments and the pool, row by row.

        Args:
            rows: float64 ``[B, C]``.
            ids: int64 ``[B]``.
            epoch, seed: integers, or int64 scalars.

        Returns:
            float32 ``[B, D]`` each.
        """
        epoch = torch.as_tensor(epoch, device=ids.device)
        return [self._view(rows, ids, epoch, seed, number) for number in range(self.count)]

    def _view(
        self, rows: Tensor, ids: Tensor, epoch: Tensor, seed: Tensor | int, view: int
    ) -> Tensor:
        recipe, count = self.recipe, rows.shape[1]
        width = len(self.owners)
        drawn = uniform(ids, seed=seed, epoch=epoch, stream=view, count=3 * count + 2 * width)
        swapped, masked, scaled = drawn[:, : 3 * count].view(-1, 3, count).unbind(1)
        if recipe.swap:
            others = words(ids, seed=seed, epoch=epoch, stream=_SWAPPED + view, count=count)
            others = others * len(self.pool) >> 32
            rows = torch.where(swapped < recipe.swap, self.pool.gather(0, others), rows)
        x: Tensor = self.encode(rows)
        if recipe.scale:
            x = x * (1 + recipe.scale * (2 * scaled - 1))[:, self.owners]
        if recipe.noise:
            x = x + recipe.noise * box_muller(*drawn[:, 3 * count :].chunk(2, 1))
        if recipe.mask:
            x = x.masked_fill((masked < recipe.mask)[:, self.owners], 0.0)
        return x
