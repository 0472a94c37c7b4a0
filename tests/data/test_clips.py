"""From files and arrays to clips, and what is said of those that cannot be used."""

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import wavfile

import ownlatent as ol
from ownlatent.data.clips import open_clips
from ownlatent.data.logmel import ToLogMel
from ownlatent.kinds import kind_of


def tone(seed: int, count: int = 6000, rate: int = 8000) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    t = np.arange(count) / rate
    sound = np.sin(2 * np.pi * rng.uniform(200, 2000) * t) + 0.1 * rng.standard_normal(count)
    return (sound * 2**13).astype(np.int16)


def write(file: Path, sound: np.ndarray[Any, Any], rate: int = 8000) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(sound.tobytes())


def folder(root: Path, count: int = 6) -> Path:
    for row in range(count):
        write(root / ("a" if row % 2 else "b") / f"{row}.wav", tone(row, 5000 + 500 * row))
    return root


def test_a_folder_gives_its_clips_in_the_order_of_their_names(tmp_path: Path) -> None:
    clips = open_clips(folder(tmp_path), size=16, labelled=True)
    assert clips.names == ["a/1.wav", "a/3.wav", "a/5.wav", "b/0.wav", "b/2.wav", "b/4.wav"]
    assert clips.classes == ["a", "b"] and clips.labels is not None
    assert clips.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert clips.values.shape == (6, 1, 16, 16) and clips.settings.rate == 8000
    expected = ToLogMel(clips.settings)(torch.from_numpy(tone(3, 6500))[None])
    torch.testing.assert_close(clips.values[1:2], expected, rtol=0, atol=1e-4)
    assert abs(clips.values.mean() - clips.settings.mean) < 1e-4
    assert "6 clips at 8,000 Hz, 16 mel bands" in clips.summary()
    assert kind_of(tmp_path).name == "audio" and kind_of(clips).name == "audio"


def test_flat_padded_and_listed_arrays_are_the_same_clips(tmp_path: Path) -> None:
    sounds = [tone(row, 3000 + 700 * row) for row in range(4)]
    length = np.array([len(each) for each in sounds])
    padded = np.zeros((4, length.max()), np.int16)
    for row, each in enumerate(sounds):
        padded[row, : len(each)] = each
    labels = np.array(["x", "w", "x", "y"])
    np.savez(
        tmp_path / "flat.npz", samples=np.concatenate(sounds), length=length, rate=8000, y=labels
    )
    np.savez(tmp_path / "padded.npz", clips=padded, length=length, rate=8000)
    listed = open_clips(sounds, rate=8000)
    for name in ("flat", "padded"):
        assert kind_of(tmp_path / f"{name}.npz").name == "audio"
        opened = open_clips(tmp_path / f"{name}.npz")
        assert opened.fingerprint == listed.fingerprint
        torch.testing.assert_close(opened.values, listed.values, rtol=0, atol=0)
    flat = open_clips(tmp_path / "flat.npz", labelled=True)
    assert flat.classes == ["w", "x", "y"] and flat.labels is not None
    assert flat.labels.tolist() == [1, 0, 1, 2]


def test_other_rates_are_brought_to_the_most_frequent(tmp_path: Path) -> None:
    t = np.arange(16000)
    for row, rate in enumerate((8000, 8000, 16000)):
        sine = np.sin(2 * np.pi * 440 * t[:rate] / rate) * 2**14
        write(tmp_path / f"{row}.wav", sine.astype(np.int16), rate)
    write(tmp_path / "other.wav", tone(1, 8000))
    clips = open_clips(tmp_path, size=16)
    assert clips.settings.rate == 8000
    inner = clips.values[..., 2:-2]
    loud = inner[0] > inner[0].max() - 8  # below that is the sines' own rounding
    assert (inner[2] - inner[0])[loud].abs().max() < 0.1


def test_a_few_unreadable_files_are_named_and_skipped(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "a" / "0.wav").write_bytes(b"no sound")
    write(tmp_path / "b" / "9.wav", tone(0, 100))
    clips = open_clips(tmp_path, labelled=True)
    assert len(clips) == 6 and clips.labels is not None and len(clips.labels) == 6
    (broken, why), (short, how) = clips.skipped
    assert broken == "a/0.wav" and "convert it to 16-bit PCM" in why
    assert short == "b/9.wav" and how == "12 ms are less than one window of 64"
    assert "2 unreadable skipped" in clips.summary()


def test_a_folder_of_floats_gives_the_rate_they_have(tmp_path: Path) -> None:
    for row in range(3):
        wavfile.write(tmp_path / f"{row}.wav", 16000, np.float32(tone(row) / 2**15))
    clips = open_clips(tmp_path)
    assert len(clips) == 3 and clips.settings.rate == 16000
    same = open_clips([tone(row) for row in range(3)], rate=16000)
    torch.testing.assert_close(clips.values, same.values)


def broken(root: Path) -> Path:
    for row in range(3):
        (root / f"{row}.wav").write_text("no sound")
    return root


def silent(root: Path) -> Path:
    for row in range(3):
        write(root / f"{row}.wav", np.zeros(6000 + row, np.int16))
    return root


def short(root: Path) -> Path:
    write(root / "a.wav", tone(0, 100))
    return root


def loose(root: Path) -> Path:
    write(folder(root) / "c.wav", tone(0))
    return root


def odd_rate(root: Path) -> Path:
    write(root / "a.wav", tone(0), rate=50)
    return root


def single(root: Path) -> Path:
    write(root / "a.wav", tone(0))
    return root / "a.wav"


def saved(**arrays: Any) -> Any:
    def make(root: Path) -> Path:
        np.savez(root / "a.npz", **arrays)
        return root / "a.npz"

    return make


def cut(root: Path) -> Path:
    held = io.BytesIO()
    np.savez(held, clips=np.zeros((3, 9000), np.int16))
    (root / "a.npz").write_bytes(held.getvalue()[:1000])
    return root / "a.npz"


SOUNDS = np.stack([tone(row) for row in range(4)])
REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    (
        "unreadable",
        broken,
        {},
        r"none of the 3 clips in .* can be used: .*0.wav: not a .wav file of PCM",
    ),
    ("empty", lambda root: root, {}, "holds no .wav file: give a folder of them"),
    ("missing", lambda root: root / "no", {}, "does not exist: give a folder of .wav files"),
    ("silent", silent, {}, "Every clip in .* is silent: give sounds"),
    ("too short", short, {}, "12 ms are less than one window of 64"),
    ("rate", odd_rate, {}, "50 Hz, not between 1,000 and 768,000"),
    ("one file", single, {}, "single sound: give the folder"),
    ("loose", loose, {"labelled": True}, "lies in no class folder"),
    ("damaged", cut, {}, "no readable NumPy file"),
    ("no rate", saved(clips=SOUNDS), {}, "has no 'rate': add the sounds' sampling rate in Hz"),
    ("half a rate", saved(clips=SOUNDS, rate=8000.5), {}, "give one whole number, in Hz"),
    ("low rate", saved(clips=SOUNDS, rate=8), {}, "is 8 Hz, not between"),
    ("no sounds", saved(a=SOUNDS, rate=8000), {}, "name them 'clips', or 'samples' and 'length'"),
    ("bytes", saved(clips=SOUNDS.astype(np.uint8), rate=8000), {}, r"as int16 or float \[T\]"),
    ("one axis", saved(clips=SOUNDS[0], rate=8000), {}, r"give \[N, T\]"),
    ("NaN", saved(clips=np.full((3, 6000), np.nan), rate=8000), {}, "holds NaN or infinity"),
    (
        "lengths",
        saved(samples=SOUNDS.ravel(), length=[6000, 7], rate=8000),
        {},
        "24,000 samples and lengths of 6,007 in all",
    ),
    (
        "negative",
        saved(samples=SOUNDS.ravel(), length=[-1, 7], rate=8000),
        {},
        "give whole numbers from 0 on",
    ),
    ("labels", saved(clips=SOUNDS, rate=8000, labels=[1, 2]), {}, "for each of the 4 clips"),
    ("unlabelled", saved(clips=SOUNDS, rate=8000), {"labelled": True}, "has no labels"),
    ("none", saved(clips=SOUNDS[:0], rate=8000), {}, "holds no clip"),
    ("array", lambda root: SOUNDS, {}, "has no rate: say it in Hz"),
]


@pytest.mark.parametrize(("name", "make", "options", "says"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(name: str, make: Any, options: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(ol.UsageError, match=says):
        open_clips(make(tmp_path), **options)
