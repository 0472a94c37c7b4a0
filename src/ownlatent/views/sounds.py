"""Views of log-mel spectrograms: BYOL for audio's mixing, cropping and fading.

After BYOL-A (Niizumi et al., "BYOL for Audio", 2021) and its second version's random linear fader
(2023), with three differences, so that a view is a pure function of (seed, epoch, sample id, view):
the sound that is mixed in is any of the data, by hash, where the paper draws from the last 2,048
inputs; what follows the operations normalises by statistics of the data's views, where the paper
takes the batch's; and resizing is antialiased.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ownlatent.philox import box_muller, uniform, words
from ownlatent.views.geometry import resampling
from ownlatent.views.recipe import called

_OTHER, _NOISE = 1 << 12, 1 << 13  # these streams' draws are apart from those of the rest
_POST_CLIPS = 256
_EPS = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class SoundRecipe:
    """The distribution of one view. Operations are in this order, on normalised log-mels."""

    mix: float = 0.0
    """Largest share of another clip, uniform from 0: BYOL-A's has 0.4."""
    crop: tuple[float, float] = (1.0, 1.0)
    """Sides of the crop over the spectrogram's, uniform and apart in frequency and time:
    (0.6, 1.5)."""
    canvas: float = 1.0
    """What is cropped in time is this many times as long, zeros around the middle: 1.5."""
    fade: float = 0.0
    """Largest gain at either end of a line over time that is added: 1 in the second version."""
    noise: float = 0.0
    """Largest share and deviation of the noise mixed in: 0.3 in BYOL-A's code."""


_CROP = {"crop": (0.6, 1.5), "canvas": 1.5}

SOUND_RECIPES: dict[str, SoundRecipe] = {
    "audio": SoundRecipe(mix=0.4, **_CROP),  # type: ignore[arg-type]
    "audio-fade": SoundRecipe(mix=0.4, **_CROP, fade=1.0),  # type: ignore[arg-type]
    "audio-all": SoundRecipe(mix=0.4, **_CROP, fade=1.0, noise=0.3),  # type: ignore[arg-type]
    "audio-mix": SoundRecipe(mix=0.4),
    "audio-crop": SoundRecipe(**_CROP),  # type: ignore[arg-type]
    "audio-noise": SoundRecipe(noise=0.3),
}
"""By name, both views alike: BYOL-A, its second version, those with noise, and one at a time."""


class SoundViews(nn.Module):
    """Draws and makes the views of a batch of spectrograms.

    Args:
        recipe: a key of :data:`SOUND_RECIPES`, or a :class:`SoundRecipe`.
        pool: log-mels float32 ``[N, 1, F, T]``, the sounds that are mixed in.
        ids: int64 ``[N]`` of the pool.
        mean, std: of the log-mels.
        views: how many.

    Raises:
        UsageError: the name is unknown.
    """

    pool: Tensor
    post_mean: Tensor
    post_std: Tensor

    def __init__(
        self,
        recipe: str | SoundRecipe,
        pool: Tensor,
        ids: Tensor,
        mean: float,
        std: float,
        views: int = 2,
    ) -> None:
        super().__init__()
        if isinstance(recipe, str):
            recipe = called(recipe, SOUND_RECIPES, " of sounds")
        self.recipe, self.count = recipe, views
        self.mean, self.std = mean, std
        self.register_buffer("pool", pool, persistent=False)
        for name, value in (("post_mean", 0.0), ("post_std", 1.0)):
            self.register_buffer(name, torch.tensor(value), persistent=False)
        # Views of some clips spread evenly over the data say what all views are normalised by.
        rows = torch.linspace(0, len(pool) - 1, min(len(pool), _POST_CLIPS)).round().long()
        made = torch.cat(self(pool[rows], ids[rows], 0, 0)).double()
        deviation, centre = torch.std_mean(made, correction=0)
        self.post_mean.fill_(float(centre))
        self.post_std.fill_(float(deviation) or 1.0)

    def forward(
        self,
        logmels: Tensor,
        ids: Tensor,
        epoch: Tensor | int,
        seed: Tensor | int,
        sizes: Tensor | None = None,
    ) -> list[Tensor]:
        """The views of a batch: a pure function of its arguments and the pool, clip by clip.

        Args:
            logmels: float32 ``[B, 1, F, T]``.
            ids: int64 ``[B]``.
            epoch, seed: integers, or int64 scalars.

        Returns:
            float32 ``[B, 1, F, T]`` each.
        """
        epoch = torch.as_tensor(epoch, device=ids.device)
        x = (logmels - self.mean) / self.std
        return [
            (self._view(x, ids, epoch, seed, number) - self.post_mean) / self.post_std
            for number in range(self.count)
        ]

    def _view(self, x: Tensor, ids: Tensor, epoch: Tensor, seed: Tensor | int, view: int) -> Tensor:
        recipe = self.recipe
        drawn = uniform(ids, seed=seed, epoch=epoch, stream=view, count=8)
        if recipe.mix:
            other = words(ids, seed=seed, epoch=epoch, stream=_OTHER + view, count=1)[:, 0]
            other = other * len(self.pool) >> 32
            x = log_mix(x, (self.pool[other] - self.mean) / self.std, recipe.mix * drawn[:, 0])
        if recipe.crop != (1.0, 1.0) or recipe.canvas != 1.0:
            x = resized_crop(x, drawn[:, 1:5], recipe.crop, recipe.canvas)
        if recipe.fade:
            head, tail = (recipe.fade * (2 * drawn[:, 5:7] - 1)).unbind(1)
            x = fade(x, head, tail)
        if recipe.noise:
            count = x[0].numel()
            many = uniform(ids, seed=seed, epoch=epoch, stream=_NOISE + view, count=2 * count)
            normal = box_muller(*many.chunk(2, 1)).view_as(x)
            x = log_noise(x, normal, recipe.noise * drawn[:, 7])
        return x


def log_mix(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """``log((1 - l) exp(x) + l exp(other))``: energies are mixed, not their logarithms.

    Args:
        x, other: ``[B, 1, F, T]``.
        share: l, float ``[B]`` in [0, 1).
    """
    share = share[:, None, None, None]
    return ((1 - share) * x.exp() + share * other.exp() + _EPS).log()


def resized_crop(x: Tensor, drawn: Tensor, scale: tuple[float, float], canvas: float) -> Tensor:
    """A box of a canvas longer in time, resized to ``x``'s shape (bicubic, antialiased).

    The box is ``scale`` times as high and as long as ``x``, in whole bins and frames, and no larger
    than the canvas, which holds ``x`` in its middle and zeros (the mean) elsewhere.

    Args:
        x: ``[B, 1, F, T]``.
        drawn: uniforms ``[B, 4]``: height, width, top, left.
    """
    bands, frames = x.shape[-2:]
    long = int(frames * canvas)
    start = (long - frames) // 2
    low, high = scale
    height, width = ((low + (high - low) * u) for u in drawn[:, :2].unbind(1))
    height = (height * bands).floor().clamp(1, bands)
    width = (width * frames).floor().clamp(1, long)
    top = (drawn[:, 2] * (bands - height + 1)).floor()
    left = (drawn[:, 3] * (long - width + 1)).floor()
    rows = resampling(top, height, None, bands, bands)
    # What lies outside the spectrogram is zero, so that its columns need not be multiplied.
    columns = resampling(left, width, None, frames, long)[:, :, start : start + frames]
    return rows[:, None] @ x @ columns[:, None].mT


def fade(x: Tensor, head: Tensor, tail: Tensor) -> Tensor:
    """``x`` plus a line over time from ``head`` to ``tail`` (float ``[B]``)."""
    along = torch.linspace(0, 1, x.shape[-1], device=x.device)
    line = head[:, None] + (tail - head)[:, None] * along
    return x + line[:, None, None]


def log_noise(x: Tensor, normal: Tensor, share: Tensor) -> Tensor:
    """``log((1 - l) exp(x) + exp(l z))`` with ``z`` normal, as BYOL-A's code mixes noise.

    Args:
        x, normal: ``[B, 1, F, T]``.
        share: l, float ``[B]``.
    """
    share = share[:, None, None, None]
    return ((1 - share) * x.exp() + (share * normal).exp() + _EPS).log()
