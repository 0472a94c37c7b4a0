"""Log-mel spectrograms: sounds as small images of frequency by time."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ownlatent.data.sound import fit

SECONDS = 1.024
"""What a spectrogram spans where nobody says."""
FLOOR = torch.finfo(torch.float32).eps
"""Added to the energy before the logarithm, as BYOL-A does."""


@dataclass(frozen=True)
class LogMel:
    """How a clip becomes what the backbone takes.

    The defaults are BYOL-A's (Niizumi et al., 2021, config.yaml: windows of 64 ms, 64 bands from 60
    to 7,800 Hz at 16 kHz), but for the hop: 16 ms for its 10, so that 64 frames span a second.
    """

    rate: int
    """Samples per second."""
    bands: int = 64
    frames: int = 64
    hop: float = 0.016
    """Seconds from one frame to the next."""
    window: float = 0.064
    """Seconds that a frame looks at, under a Hann window."""
    low: float = 60.0
    """Hz, where the first band begins; the last ends at 0.975 of half the rate."""
    mean: float = 0.0
    """Of the log-mels trained on."""
    std: float = 1.0
    kind: str = "audio"

    @property
    def size(self) -> int:
        """The longer side of a spectrogram."""
        return max(self.bands, self.frames)

    @property
    def step(self) -> int:
        """The hop in samples."""
        return max(1, round(self.hop * self.rate))

    @property
    def looked_at(self) -> int:
        """The window in samples."""
        return max(2, round(self.window * self.rate))

    @property
    def length(self) -> int:
        """Samples of a clip: frames are centred on the first, the last and ``frames - 2`` between
        them."""
        return (self.frames - 1) * self.step

    @property
    def high(self) -> float:
        """Hz, where the last band ends."""
        return 0.975 * self.rate / 2


def settings(rate: int, size: int | None = None) -> LogMel:
    """``size`` bands by ``size`` frames over :data:`SECONDS`; 64 where None."""
    size = size or 64
    return LogMel(rate, bands=size, frames=size, hop=SECONDS / size)


def filterbank(bands: int, bins: int, rate: int, low: float, high: float) -> Tensor:
    """Triangles evenly spaced on HTK's mel scale: float32 ``[bands, bins]``.

    ``mel = 2595 log10(1 + f / 700)`` (Young et al., The HTK Book, section 5.4). Each triangle rises
    from its lower neighbour's centre to 1 at its own and falls to its upper neighbour's, in Hz; no
    normalisation by area.

    Args:
        bins: of a spectrum from 0 Hz to half of ``rate``, both included.
        low, high: Hz where the first triangle begins and the last ends.
    """
    ends = [2595 * math.log10(1 + f / 700) for f in (low, high)]
    mels = torch.linspace(ends[0], ends[1], bands + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mels / 2595) - 1)
    frequencies = torch.linspace(0, rate / 2, bins, dtype=torch.float64)
    below, above = corners[:-2, None], corners[2:, None]
    centre = corners[1:-1, None]
    slopes = torch.minimum(
        (frequencies - below) / (centre - below), (above - frequencies) / (above - centre)
    )
    return slopes.clamp(min=0).float()


class ToLogMel(nn.Module):
    """Clips ``[B, T]`` at the settings' rate, float in [-1, 1) or int16, to float32
    ``[B, 1, bands, frames]``: ``log(mel energies + FLOOR)``.

    The short-time Fourier transform is torch's: frames centred on their sample, silence beyond the
    ends, a Hann window padded to the next power of two. Clips are fitted by
    :func:`ownlatent.data.sound.fit`.
    """

    hann: Tensor
    filters: Tensor

    def __init__(self, settings: LogMel) -> None:
        super().__init__()
        self.settings = settings
        self.points = 2 ** math.ceil(math.log2(settings.looked_at))
        filters = filterbank(
            settings.bands, self.points // 2 + 1, settings.rate, settings.low, settings.high
        )
        self.register_buffer("filters", filters, persistent=False)
        hann = torch.hann_window(settings.looked_at)
        self.register_buffer("hann", hann, persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        if clips.dtype == torch.int16:
            clips = clips.float() / 2**15
        spectrum = torch.stft(
            fit(clips.to(self.hann), self.settings.length),
            self.points,
            self.settings.step,
            len(self.hann),
            self.hann,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        energy = spectrum.real.square() + spectrum.imag.square()
        return (self.filters @ energy + FLOOR).log()[:, None]
