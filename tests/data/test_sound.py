"""Reading, resampling and fitting sounds."""

import io
import struct
import wave

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from ownlatent.data.sound import fit, read_wav, resample


def wav(data: bytes, width: int, channels: int = 1, rate: int = 8000) -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(data)
    return held.getvalue()


VALUES = [-1.0, -0.5, 0.0, 0.25, 0.75]


@pytest.mark.parametrize(
    ("width", "data"),
    [
        (1, bytes(round(128 + 128 * v) for v in VALUES)),  # unsigned: 128 is silence
        (2, struct.pack("<5h", *(round(v * 2**15) for v in VALUES))),
        (3, b"".join(struct.pack("<i", round(v * 2**23) * 256)[1:] for v in VALUES)),
        (4, struct.pack("<5i", *(round(v * 2**31) for v in VALUES))),
    ],
)
def test_every_width_is_read_in_full_scale(width: int, data: bytes) -> None:
    clip, rate = read_wav(wav(data, width, rate=11025))
    assert rate == 11025 and clip.dtype == np.float32
    np.testing.assert_array_equal(clip, np.float32(VALUES))


def riff(form: int, bits: int, data: bytes, channels: int = 1, before: bytes = b"") -> bytes:
    """A file by hand, after "Multimedia Programming Interface and Data Specifications 1.0"."""
    said = struct.pack("<HHIIHH", form, channels, 8000, 8000 * bits // 8, bits // 8, bits)
    if form == 0xFFFE:  # WAVE_FORMAT_EXTENSIBLE: the form comes first in a GUID
        said += struct.pack("<HHIH", 22, bits, 4, 3) + bytes(14)
    chunks = before + b"fmt " + struct.pack("<I", len(said)) + said
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize(("form", "bits", "kind"), [(3, 32, "f"), (3, 64, "d"), (0xFFFE, 32, "f")])
def test_floats_are_read_as_they_are(form: int, bits: int, kind: str) -> None:
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # padded to an even length
    clip, rate = read_wav(riff(form, bits, struct.pack(f"<5{kind}", *VALUES), before=odd))
    assert rate == 8000 and clip.dtype == np.float32
    np.testing.assert_array_equal(clip, np.float32(VALUES))
    stereo = struct.pack(f"<4{kind}", 0.5, 0.25, -1, 1)
    assert read_wav(riff(form, bits, stereo, 2))[0].tolist() == [0.375, 0]


def test_floats_are_read_as_scipy_writes_them() -> None:
    held = io.BytesIO()
    wavfile.write(held, 16000, np.float32(VALUES))
    clip, rate = read_wav(held.getvalue())
    assert rate == 16000 and clip.tolist() == VALUES


def test_channels_are_averaged() -> None:
    clip, _ = read_wav(wav(struct.pack("<4h", 2**14, 0, -(2**14), 2**13), 2, channels=2))
    np.testing.assert_array_equal(clip, np.float32([0.25, -0.125]))


def test_a_file_cut_short_gives_what_it_has() -> None:
    whole = wav(struct.pack("<4h", 1, 2, 3, 4), 2)
    clip, _ = read_wav(whole[:-3])
    np.testing.assert_array_equal(clip, np.float32([1, 2]) / 2**15)


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"not a sound at all", wav(b"", 2)[:30], riff(6, 8, b"ab"), riff(3, 16, b"ab")],
)
def test_what_is_no_wav_file_says_so(content: bytes) -> None:
    with pytest.raises(ValueError, match="convert it to 16-bit PCM"):
        read_wav(content)


@pytest.mark.parametrize(("rate", "wanted"), [(16000, 8000), (44100, 8000), (8000, 22050), (7, 5)])
def test_a_resampled_sine_is_the_sine_at_the_new_rate(rate: int, wanted: int) -> None:
    """Below both Nyquist frequencies sampling loses nothing (Shannon, 1949)."""
    frequency = 0.11 * min(rate, wanted)

    def sine(at: int, count: int) -> torch.Tensor:
        return torch.sin(2 * torch.pi * frequency * torch.arange(count).double() / at + 0.3)

    made = resample(sine(rate, 4 * rate if rate < 100 else 4000).float(), rate, wanted)
    expected = sine(wanted, len(made)).float()
    edge = max(16, len(made) // 10)  # where the sound begins and ends out of nothing
    error = (made - expected)[edge:-edge].abs()
    assert not len(error) or error.max() < 5e-3


def test_resampling_takes_away_what_the_new_rate_cannot_hold() -> None:
    high = torch.sin(2 * torch.pi * 6000 * torch.arange(8000) / 16000)  # above 4 kHz
    assert resample(high, 16000, 8000)[100:-100].abs().max() < 5e-3
    low = torch.ones(1000)
    assert len(resample(low, 16000, 8000)) == 500 and resample(low, 8000, 8000) is low


def test_fit_keeps_the_middle_and_pads_both_ends() -> None:
    clip = torch.arange(1.0, 6.0)
    assert fit(clip, 3).tolist() == [2, 3, 4]
    assert fit(clip, 5).tolist() == clip.tolist()
    assert fit(clip, 8).tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert fit(clip.expand(2, 5), 2).shape == (2, 2)
