"""The mel filter bank and log-mels against librosa's numbers and HTK's formula."""

import json
import math
from pathlib import Path

import torch

from ownlatent.data.logmel import FLOOR, LogMel, ToLogMel, filterbank, settings

GOLDEN = json.loads((Path(__file__).parent / "golden" / "logmel.json").read_text())


def chirp(count: int) -> torch.Tensor:
    """What the golden file was made of."""
    t = torch.arange(count, dtype=torch.float64) / 8000
    sound = 0.3 * torch.sin(2 * math.pi * (200 + 800 * t) * t)
    return (sound + 0.2 * torch.sin(2 * math.pi * 1500 * t)).float()


def test_the_filter_bank_is_librosas() -> None:
    bank = filterbank(16, 257, 8000, 60, 3900)
    torch.testing.assert_close(bank.sum(1), torch.tensor(GOLDEN["filters"]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bank[3], torch.tensor(GOLDEN["filter_3"]), rtol=1e-5, atol=1e-5)


def test_triangles_are_evenly_spaced_in_mel() -> None:
    """On a fine grid each peak lies where ``2595 log10(1 + f / 700)`` is a multiple of the step."""
    bank = filterbank(8, 400_001, 8000, 0, 4000)
    peaks = bank.argmax(1) / 400_000 * 4000
    mel = 2595 * torch.log10(1 + peaks / 700)
    step = 2595 * math.log10(1 + 4000 / 700) / 9
    torch.testing.assert_close(mel, step * torch.arange(1.0, 9.0), rtol=1e-4, atol=0)
    torch.testing.assert_close(bank.amax(1), torch.ones(8), rtol=1e-3, atol=0)


def test_log_mels_are_librosas() -> None:
    made = LogMel(8000, bands=16, frames=32, hop=0.016)
    assert made.high == 3900 and made.step == 128 and made.looked_at == 512
    assert made.length == 31 * 128
    logmel = ToLogMel(made)(chirp(made.length)[None])
    assert logmel.shape == (1, 1, 16, 32)
    expected = (torch.tensor(GOLDEN["energy"]) + FLOOR).log()
    # librosa adds no floor; energies near it differ by float32's rounding of a long sum
    torch.testing.assert_close(logmel[0, 0], expected, rtol=0, atol=2e-3)


def test_int16_is_the_same_sound_and_silence_is_the_floor() -> None:
    logmel = ToLogMel(settings(8000, 32))
    whole = (chirp(logmel.settings.length) * 2**14).round().to(torch.int16)[None]
    torch.testing.assert_close(logmel(whole), logmel(whole.float() / 2**15), rtol=0, atol=0)
    assert logmel(torch.zeros(1, 500)).unique().tolist() == [torch.tensor(FLOOR).log().item()]


def test_no_band_is_empty_at_usual_rates() -> None:
    for rate in (8000, 16000, 22050, 44100, 48000):
        assert bool((ToLogMel(settings(rate)).filters.amax(1) > 0.1).all())
