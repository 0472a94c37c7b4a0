"""Sounds from a file to an encoder that is evaluated, by Python and by the command line."""

import json
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.data.clips import Clips, open_clips
from ownlatent.encoder import EncoderFolder
from ownlatent.training.folder import RunFolder

TINY: dict[str, Any] = {"batch_size": 8, "set": ("hidden=8", "dim=8"), "log_every": 1}


def sounds(count: int = 24) -> tuple[list[Any], np.ndarray[Any, Any]]:
    """Tones of three pitches in noise, and which."""
    rng = np.random.default_rng(0)
    pitch = np.arange(count) % 3
    made = []
    for each in pitch:
        t = np.arange(rng.integers(7000, 9000)) / 8000
        tone = np.sin(2 * np.pi * (300 + 500 * each) * t + rng.uniform(0, 6))
        made.append(((tone + 0.1 * rng.standard_normal(len(t))) * 2**13).astype(np.int16))
    return made, pitch


@pytest.fixture(scope="module")
def clips() -> Clips:
    made, pitch = sounds()
    return open_clips(made, rate=8000, size=16, labels=pitch)


@pytest.fixture(scope="module")
def finished(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio") / "run"
    ol.pretrain(clips, out=folder, steps=3, **TINY)
    return folder


def test_a_run_ends_with_an_encoder_of_sounds(finished: Path, clips: Clips) -> None:
    config = RunFolder(finished).config()
    assert config["plan"]["views"] == "audio" and config["plan"]["size"] == 16
    assert config["asked"]["backbone"] == "small-resnet"
    encoder = ol.load_encoder(finished)
    assert encoder.preprocessing == clips.settings
    made, _ = sounds()
    features = encoder(made)  # int16 arrays of several lengths
    assert features.shape == (24, encoder.num_features) and features.dtype == torch.float32
    of_batch = encoder(clips.batch(torch.arange(24), "cpu")[0])
    torch.testing.assert_close(features, of_batch, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(encoder(clips), of_batch)
    waves = torch.from_numpy(np.stack([each[:4000] for each in made]))
    torch.testing.assert_close(encoder(waves), encoder(waves.float() / 2**15), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(encoder(waves.numpy()), encoder(waves), rtol=1e-3, atol=1e-4)


def test_saved_and_loaded_it_gives_the_same_features(finished: Path, tmp_path: Path) -> None:
    encoder = ol.load_encoder(finished)
    EncoderFolder.write(tmp_path / "encoder", {"online": encoder})
    waves = 0.1 * torch.randn(3, 6000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ol.load_encoder(tmp_path)(waves), encoder(waves), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("rate", 10**9, "rate must lie between"),
        ("bands", 10**6, "bands must lie between"),
        ("frames", "16", "frames must be a whole number"),
        ("frames", 0, "frames must be at least 4"),
        ("hop", float("nan"), "hop must lie between"),
        ("window", 1e9, "window must lie between"),
        ("low", 5000.0, "do not fit together"),
        ("std", 0.0, "std must be at least"),
        ("kind", 3, "damaged"),
        ("code", "x", "damaged"),
    ],
)
def test_hostile_settings_are_refused(
    name: str, value: Any, says: str, finished: Path, tmp_path: Path
) -> None:
    EncoderFolder.write(tmp_path / "encoder", {"online": ol.load_encoder(finished)})
    file = tmp_path / "encoder" / "config.json"
    config = json.loads(file.read_text())
    config["preprocessing"][name] = value
    file.write_text(json.dumps(config))
    with pytest.raises(ol.UsageError, match=says):
        ol.load_encoder(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(2, 1, 8, 8), torch.zeros(2, 5, dtype=torch.int32), torch.zeros(2, 3, 4)],
)
def test_what_is_no_sound_is_refused(wrong: torch.Tensor, finished: Path) -> None:
    with pytest.raises(ol.UsageError, match="takes clips at 8,000 Hz, int16 or float"):
        ol.load_encoder(finished)(wrong)
    with pytest.raises(ol.UsageError, match=r"int16 or float \[T\] at 8,000 Hz"):
        ol.load_encoder(finished)([torch.zeros(4, 4)])


def test_what_cannot_be_heard_is_refused(finished: Path, tmp_path: Path) -> None:
    encoder = ol.load_encoder(finished)
    stereo = np.zeros((8000, 2), np.int16)  # as scipy reads it
    nan = np.full((2, 8000), np.nan, np.float32)
    for wrong, says in [(stereo, "one channel of a stereo one"), (nan, "holds NaN or infinity")]:
        for given in (wrong, torch.from_numpy(wrong)):
            with pytest.raises(ol.UsageError, match=says):
                encoder(given)
    for wrong in ([np.zeros(0)], [np.zeros(10)], np.zeros(10), [nan[0]]):
        with pytest.raises(ol.UsageError, match=r"less than one window of 64|NaN"):
            encoder(wrong)
    for none in ([], None, {}, np.zeros((0, 8000), np.float32)):
        with pytest.raises(ol.UsageError, match="Give at least one sound"):
            encoder(none)
    with pytest.raises(ol.UsageError, match=r"a\.wav cannot be read \(No such file"):
        encoder([tmp_path / "a.wav"])
    with pytest.raises(ol.UsageError, match=r"int16 or float \[T\] at 8,000 Hz"):
        encoder([["a", "b"]])


def test_one_sound_and_files_of_it_are_encoded(finished: Path, tmp_path: Path) -> None:
    encoder = ol.load_encoder(finished)
    sound = sounds()[0][0]
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(sound.tobytes())
    expected = encoder([sound])
    path = tmp_path / "a.wav"
    for same in (sound, torch.from_numpy(sound), path, str(path), [path], [sound.tolist()]):
        if isinstance(same, list) and isinstance(same[0], list):
            same = [[each / 2**15 for each in same[0]]]  # numbers of Python's are floats
        torch.testing.assert_close(encoder(same), expected, rtol=1e-3, atol=1e-4)


def test_too_few_clips_are_explained_by_those_skipped(tmp_path: Path) -> None:
    (tmp_path / "said").mkdir()
    for row, sound in enumerate(sounds(6)[0]):
        with wave.open(str(tmp_path / "said" / f"{row}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(sound.tobytes() if row < 4 else b"")
    says = r"than the 4 clips that are left of 6 \(4.wav: 0 ms are less than one"
    with pytest.raises(ol.UsageError, match=says):
        ol.pretrain(tmp_path / "said", out=tmp_path / "run", **TINY)


def test_evaluation_stands_beside_log_mel_statistics(finished: Path, clips: Clips) -> None:
    rows = ol.evaluate(finished, clips)["results"]
    linear = {row["features"]: row for row in rows if row["protocol"] == "linear probe"}
    assert set(linear) == {"BYOL (online)", "random initialisation", "log-mel statistics"}
    assert linear["log-mel statistics"]["accuracy"] == 1  # three pitches are three bands
    assert "log-mel statistics" in (finished / "encoder" / "README.md").read_text()


def test_the_baseline_is_mean_and_deviation_over_time(finished: Path, clips: Clips) -> None:
    from ownlatent.kinds import KINDS

    _, raw = KINDS["audio"].raw(clips.settings)
    x = ((clips.values[:, 0] - clips.settings.mean) / clips.settings.std).numpy()
    expected = np.concatenate([x.mean(2), x.std(2)], 1)
    np.testing.assert_allclose(raw(clips.values).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_clips_of_other_settings_are_refused(finished: Path) -> None:
    made, pitch = sounds()
    other = open_clips(made, rate=8000, size=24, labels=pitch)
    with pytest.raises(ol.UsageError, match=r"other settings than the encoder's: open them by"):
        ol.evaluate(finished, other)


def test_a_run_that_stopped_ends_with_the_same_weights(clips: Clips, tmp_path: Path) -> None:
    options = TINY | {"steps": 3, "checkpoint_steps": 1, "keep": 5}
    whole = ol.pretrain(clips, out=tmp_path / "whole", **options)
    cut = ol.pretrain(clips, out=tmp_path / "cut", **options)
    for kept in sorted((cut.folder / "checkpoints").iterdir())[2:]:  # as if killed after step 2
        shutil.rmtree(kept)
    again = ol.resume(cut.folder, clips)
    for name, weight in whole.encoder().state_dict().items():
        assert torch.equal(weight, again.encoder().state_dict()[name]), name


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for row, (sound, pitch) in enumerate(zip(*sounds(30), strict=True)):
        Path(f"said/{pitch}").mkdir(parents=True, exist_ok=True)
        with wave.open(f"said/{pitch}/{row}.wav", "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(sound.tobytes())
    command = "pretrain said --out run --size 16 --batch-size 8 --steps 3 --set hidden=8"
    main([*command.split(), "--views", "audio-mix"])
    said = capsys.readouterr().err
    assert "30 clips at 8,000 Hz" in said and "audio-mix, 16 bands and frames" in said
    main(["evaluate", "run", "--data", "said", "--protocols", "knn"])
    assert "log-mel statistics" in capsys.readouterr().out
    features = ol.load_encoder("run")("said")
    assert features.shape[0] == 30


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"crops": 2}, "no local crops"),
        ({"label": "a"}, "Sounds have no columns"),
        ({"size": 32}, "have 16 bands and 16 frames"),
        ({"views": "byol"}, "choose one of audio"),
        ({"backbone": "mlp"}, "No backbone is called 'mlp'"),
        ({"batch_size": 100}, "more than the 24 clips"),
    ],
)
def test_what_cannot_be_is_refused(
    options: dict[str, Any], says: str, clips: Clips, tmp_path: Path
) -> None:
    with pytest.raises(ol.UsageError, match=says):
        ol.pretrain(clips, out=tmp_path / "run", **TINY | {"steps": 1} | options)
    assert not (tmp_path / "run").exists()
