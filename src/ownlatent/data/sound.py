"""Sounds: a ``.wav`` file as numbers, one sampling rate as another, one length for all."""

import io
import math
import wave

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_CROSSINGS = 6  # of the sinc on either side, as torchaudio's resample has by default
_ROLLOFF = 0.99  # of the lower Nyquist frequency, likewise
_FULL_SCALE = {1: 2.0**7, 2: 2.0**15, 3: 2.0**23, 4: 2.0**31}


def read_wav(content: bytes) -> tuple[NDArray[np.float32], int]:
    """The samples of a PCM ``.wav`` file: float32 ``[T]`` in [-1, 1), channels averaged, and the
    rate in Hz.

    Python's own :mod:`wave` reads it: whole numbers of 8, 16, 24 or 32 bits, no compression.

    Raises:
        ValueError: it is none.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        why = str(error) or "it ends too early"
        raise ValueError(f"not a PCM .wav file ({why}): convert it to 16-bit PCM") from error
    if width not in _FULL_SCALE or rate < 1:
        raise ValueError(f"{8 * width} bits at {rate} Hz: convert it to 16-bit PCM")
    data = data[: len(data) // (width * channels) * width * channels]  # a cut file's last frame
    if width == 1:  # unsigned, unlike all others
        whole = np.frombuffer(data, np.uint8).astype(np.int32) - 128
    elif width == 3:
        bytes_of = np.frombuffer(data, np.uint8).reshape(-1, 3)
        padded = np.concatenate([np.zeros_like(bytes_of[:, :1]), bytes_of], 1)
        whole = padded.copy().view("<i4")[:, 0] >> 8
    else:
        whole = np.frombuffer(data, f"<i{width}")
    values = whole.reshape(-1, channels) / _FULL_SCALE[width]
    return values.mean(1).astype(np.float32), rate


def resample(clip: Tensor, rate: int, wanted: int) -> Tensor:
    """A clip (float ``[T]``) at another rate: float ``[ceil(T * wanted / rate)]``.

    Sinc interpolation below the lower Nyquist frequency under a Hann window, in its polyphase form
    (Smith, "Digital Audio Resampling Home Page"): what output ``wanted * k + i`` is made of moves
    on by ``rate`` samples with ``k``, so that one convolution with ``wanted`` kernels makes all.
    """
    if rate == wanted:
        return clip
    common = math.gcd(rate, wanted)
    old, new = rate // common, wanted // common
    cutoff = min(old, new) * _ROLLOFF
    width = math.ceil(_CROSSINGS * old / cutoff)
    taps = torch.arange(-width, width + old, dtype=torch.float64) / old
    t = taps - torch.arange(new, dtype=torch.float64)[:, None] / new
    t = (t * cutoff).clamp(-_CROSSINGS, _CROSSINGS)
    window = torch.cos(t * math.pi / _CROSSINGS / 2) ** 2
    kernels = (torch.sinc(t) * window * cutoff / old).to(clip.dtype)
    padded = F.pad(clip, (width, width + old))
    made = F.conv1d(padded[None, None], kernels[:, None], stride=old)[0].T.flatten()
    return made[: math.ceil(len(clip) * new / old)]


def fit(clip: Tensor, length: int) -> Tensor:
    """The middle ``length`` samples of ``[..., T]``, or all of them between equal silences."""
    surplus = clip.shape[-1] - length
    if surplus >= 0:
        return clip[..., surplus // 2 : surplus // 2 + length]
    before = -surplus // 2
    return F.pad(clip, (before, -surplus - before))
