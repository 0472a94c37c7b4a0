"""Audio: clips as log-mel spectrograms, BYOL-A's views, the backbones of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ownlatent.checks import require_options
from ownlatent.config import BOUNDS, Plan, Pretrain
from ownlatent.data.clips import Clips, as_clip, open_clips, require_sound
from ownlatent.data.logmel import LogMel, ToLogMel
from ownlatent.data.opening import check_labels
from ownlatent.data.sound import read_wav
from ownlatent.data.sounds import RATES, WAV
from ownlatent.errors import UsageError
from ownlatent.kinds.kind import Kind, Looks
from ownlatent.networks import backbone
from ownlatent.views.sounds import SOUND_RECIPES, SoundViews

_BOUNDS = {
    "rate": RATES,
    "bands": (4, 512),
    "frames": (4, 4096),
    "hop": (1e-4, 60),
    "window": (1e-3, 1),
    "low": (0, 1e5),
    "mean": (-1e3, 1e3),
    "std": (1e-6, 1e3),
}


_TYPES = ("int16", "float16", "bfloat16", "float32", "float64")


class Audio(Kind):
    name = "audio"
    noun = "clips"
    unit = "bands and frames"
    backbone: ClassVar = "small-resnet"

    def open(
        self, data: Any, *, size: int, labelled: bool, label: str | None, like: Any = None
    ) -> Clips:
        if label is not None:
            raise UsageError("Sounds have no columns: leave --label out, and see --labelled.")
        if not isinstance(data, Clips):
            if like is None and size and size < BOUNDS["size"][0]:
                raise UsageError(f"Views of {size} bands are too few; take --size 8 or more.")
            return open_clips(data, like=like, size=size or None, labelled=labelled)
        if labelled:
            check_labels("the clips given", data.labels)
        if like is not None and _made(data.settings) != _made(like):
            raise UsageError(
                "The clips given were made with other settings than the encoder's: open them by "
                "open_clips(..., like=encoder.preprocessing)."
            )
        return data

    def looks(self, config: Pretrain, samples: Clips, family: str) -> Looks:
        if config.crops or config.reference:
            raise UsageError("Sounds have no local crops: leave --crops and --reference out.")
        made = samples.settings
        if config.size is not None and config.size != made.size:
            raise UsageError(
                f"The clips given have {made.bands} bands and {made.frames} frames: leave the size "
                "out, or open them anew."
            )
        views = config.views or next(iter(SOUND_RECIPES))
        return Looks(made.size, views, (made.mean,), (made.std,))

    def views(self, config: Pretrain, plan: Plan, samples: Clips) -> nn.Module:
        made = samples.settings
        return SoundViews(plan.views, samples.values, samples.ids, made.mean, made.std)

    def preprocessing(self, plan: Plan, samples: Clips) -> LogMel:
        return samples.settings

    def restored(self, stored: dict[str, Any]) -> LogMel:
        made = LogMel(**stored)
        require_options(made, _BOUNDS)
        if made.low >= made.high or made.step * made.frames > 2**24:
            raise TypeError("low and rate, or hop and frames, do not fit together")
        return made

    def preprocess(self, preprocessing: LogMel) -> nn.Module:
        return _ToSpectrogram(preprocessing)

    def network(
        self, name: str, preprocessing: LogMel, size: int, **options: Any
    ) -> tuple[nn.Module, str]:
        return backbone(name, 1, preprocessing.size, **options)

    def raw(self, preprocessing: LogMel) -> tuple[str, nn.Module]:
        return "log-mel statistics", _Statistics(preprocessing)


class _ToSpectrogram(nn.Module):
    """Clips ``[B, T]``, one clip ``[T]`` or log-mels ``[B, 1, F, T]`` to float32
    ``[B, 1, F, T]``, normalised by the mean and deviation of the data trained on."""

    def __init__(self, made: LogMel) -> None:
        super().__init__()
        self.made = made
        self.logmel = ToLogMel(made)

    def forward(self, sounds: Tensor, sizes: None = None) -> Tensor:
        made = self.made
        if sounds.ndim == 1:
            sounds = sounds[None]
        if sounds.ndim == 2 and (sounds.dtype == torch.int16 or sounds.is_floating_point()):
            self._require(sounds, "The clips")
            sounds = self.logmel(sounds.to(self.logmel.hann.device))
        if sounds.shape[1:] != (1, made.bands, made.frames) or not sounds.is_floating_point():
            raise UsageError(
                f"This encoder takes clips at {made.rate:,} Hz, int16 or float [B, T], or log-mels "
                f"float [B, 1, {made.bands}, {made.frames}]; got "
                f"{str(sounds.dtype).removeprefix('torch.')} {list(sounds.shape)}."
            )
        normalised = (sounds.to(self.logmel.hann) - made.mean) / made.std
        return normalised.contiguous(memory_format=torch.channels_last)

    def tensors(self, sounds: Any) -> list[Tensor]:
        """A folder or :class:`Clips`, an array ``[T]`` or ``[B, T]`` at the stored rate, or a
        sequence of arrays ``[T]`` and ``.wav`` files, as log-mels."""
        if isinstance(sounds, str | Path) and Path(sounds).suffix.lower() == WAV:
            sounds = [sounds]
        if isinstance(sounds, Clips | str | Path):
            opened = KIND.open(sounds, size=0, labelled=False, label=None, like=self.made)
            return [opened.values]
        if isinstance(sounds, np.ndarray) and sounds.ndim == 1:
            sounds = sounds[None]
        if not isinstance(sounds, Sequence | np.ndarray) or not len(sounds):
            raise UsageError(
                "Give at least one sound: an array [T], a .wav file or a list of some."
            )
        return [self.logmel(self._tensor(each, place)) for place, each in enumerate(sounds)]

    def _tensor(self, sound: Any, place: int) -> Tensor:
        if isinstance(sound, str | Path):
            return self._read(Path(sound).expanduser())
        if not isinstance(sound, Tensor):
            sound = np.asarray(sound)
            sound = torch.from_numpy(sound.copy()) if sound.dtype.kind in "if" else sound
        if sound.ndim != 1 or str(sound.dtype).removeprefix("torch.") not in _TYPES:
            raise UsageError(
                f"Give each sound as int16 or float [T] at {self.made.rate:,} Hz; got "
                f"{str(sound.dtype).removeprefix('torch.')} {list(sound.shape)}."
            )
        self._require(sound, f"Sound {place}")
        clip: Tensor = sound[None].to(self.logmel.hann.device)
        return clip

    def _read(self, path: Path) -> Tensor:
        try:
            clip = as_clip(*read_wav(path.read_bytes()), self.made)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"{path} cannot be read ({why}): give another .wav file.") from error
        return clip[None].to(self.logmel.hann.device)

    def _require(self, clips: Tensor, name: str) -> None:
        """Raises UsageError unless clips ``[T]`` or ``[B, T]`` can be heard, as a file must be."""
        try:
            require_sound(clips, self.made.rate, self.made)
        except ValueError as error:
            shape = list(clips.shape)
            raise UsageError(
                f"{name}, {shape}, cannot be encoded ({error}): give finite sounds [T] or [B, T] "
                "with time last, and one channel of a stereo one."
            ) from error


class _Statistics(nn.Module):
    """Mean and deviation over time of each band: ``[B, 1, F, T]`` to float32 ``[B, 2 F]``."""

    def __init__(self, made: LogMel) -> None:
        super().__init__()
        self.normalise = _ToSpectrogram(made)

    def forward(self, sounds: Tensor, sizes: None = None) -> Tensor:
        std, mean = torch.std_mean(self.normalise(sounds)[:, 0], dim=2, correction=0)
        return torch.cat([mean, std], 1)


def _made(settings: LogMel) -> dict[str, Any]:
    return {name: v for name, v in vars(settings).items() if name not in ("mean", "std")}


KIND = Audio()
