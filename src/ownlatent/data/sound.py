"""Sounds: a ``.wav`` file as numbers, one sampling rate as another, one length for all."""

import io
import math
import struct
from typing import IO, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_CROSSINGS = 6  # of the sinc on either side, as torchaudio's resample has by default
_ROLLOFF = 0.99  # of the lower Nyquist frequency, likewise
_FLOAT, _EXTENSIBLE = 3, 0xFFFE
_FORMS = {(1, 8), (1, 16), (1, 24), (1, 32), (_FLOAT, 32), (_FLOAT, 64)}


class Header(NamedTuple):
    """What the ``fmt`` chunk of a ``.wav`` file says, and how many bytes of sound follow it."""

    form: int
    """1 for whole numbers, 3 for floats."""
    channels: int
    rate: int
    width: int
    """Bytes per number."""
    size: int


def read_header(file: IO[bytes]) -> Header:
    """The header of a ``.wav`` file, which is left where its sound begins.

    By hand, because Python's own :mod:`wave` takes whole numbers only (and before 3.12 no
    ``WAVE_FORMAT_EXTENSIBLE``); RIFF: Microsoft and IBM, Multimedia Programming Interface, 1991.

    Raises:
        ValueError: it is none, or of a form other than 8, 16, 24 or 32 bits or 32- or 64-bit float.
    """
    said = None
    start = file.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise ValueError(_none("it does not begin as one"))
    while len(chunk := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data" and said is not None:
            return Header(*said, size)
        if name == b"fmt ":
            said = _format(file.read(size))
        else:
            file.seek(size, io.SEEK_CUR)
        file.seek(size % 2, io.SEEK_CUR)  # chunks are padded to an even length
    raise ValueError(_none("it ends too early"))


def _format(content: bytes) -> tuple[int, int, int, int]:
    if len(content) < 16:
        raise ValueError(_none("it ends too early"))
    form, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
    if form == _EXTENSIBLE and len(content) >= 26:
        form = struct.unpack("<H", content[24:26])[0]
    if (form, bits) not in _FORMS:
        raise ValueError(_none(f"form {form} of {bits} bits"))
    if rate < 1 or channels < 1:
        raise ValueError(_none(f"{channels} channels at {rate} Hz"))
    return form, channels, rate, bits // 8


def _none(why: str) -> str:
    return f"not a .wav file of PCM or floats ({why}): convert it to 16-bit PCM"


def read_wav(content: bytes) -> tuple[NDArray[np.float32], int]:
    """The samples of a ``.wav`` file: float32 ``[T]``, channels averaged, and the rate in Hz.

    Whole numbers of 8, 16, 24 or 32 bits are scaled to [-1, 1); floats of 32 or 64 bits are as they
    are. No compression.

    Raises:
        ValueError: it is none.
    """
    file = io.BytesIO(content)
    form, channels, rate, width, size = read_header(file)
    data = file.read(size)
    data = data[: len(data) // (width * channels) * width * channels]  # a cut file's last frame
    if form == _FLOAT:
        values = np.frombuffer(data, f"<f{width}")
    elif width == 1:  # unsigned, unlike all others
        values = (np.frombuffer(data, np.uint8).astype(np.int32) - 128) / 2**7
    elif width == 3:
        bytes_of = np.frombuffer(data, np.uint8).reshape(-1, 3)
        padded = np.concatenate([np.zeros_like(bytes_of[:, :1]), bytes_of], 1)
        values = (padded.view("<i4")[:, 0] >> 8) / 2**23
    else:
        values = np.frombuffer(data, f"<i{width}") / 2 ** (8 * width - 1)
    return values.reshape(-1, channels).mean(1, dtype=np.float64).astype(np.float32), rate


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
