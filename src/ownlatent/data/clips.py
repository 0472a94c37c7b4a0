"""Clips: sounds as log-mel spectrograms in memory."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.data.fingerprint import (
    DIGEST_BYTES,
    content_digest,
    data_fingerprint,
    sample_ids,
)
from ownlatent.data.held import Held
from ownlatent.data.logmel import LogMel, ToLogMel, settings
from ownlatent.data.sound import fit, resample
from ownlatent.data.sounds import Sounds, open_sounds
from ownlatent.errors import UsageError

_CHUNK = 64


@dataclass(frozen=True, kw_only=True)
class Clips(Held):
    """Sounds of one rate and length as spectrograms.

    Attributes:
        values: float32 ``[N, 1, bands, frames]``; see :class:`ownlatent.data.logmel.ToLogMel`.
        settings: how they were made, and their mean and deviation.
        digests: uint8 ``[N, 16]``, of the files' bytes or the array's samples.
        skipped: name of and reason for each unreadable sound; they have no row.
    """

    kind: ClassVar[str] = "audio"

    values: Tensor
    settings: LogMel

    @property
    def content(self) -> Tensor:
        return self.values

    def summary(self) -> str:
        """One line: how many, of what shape and rate."""
        made = self.settings
        skipped = f"; {len(self.skipped)} unreadable skipped" if self.skipped else ""
        return (
            f"{len(self):,} clips at {made.rate:,} Hz, {made.bands} mel bands x {made.frames} "
            f"frames of {1e3 * made.window:.0f} ms every {1e3 * made.hop:g} ms{skipped}"
        )


def open_clips(
    data: Any,
    *,
    rate: int | None = None,
    like: LogMel | None = None,
    size: int | None = None,
    labelled: bool = False,
    labels: Any = None,
) -> Clips:
    """The sounds of ``data`` as spectrograms.

    Sounds at other rates are resampled to one: that of ``like``, else the most frequent (of equally
    frequent ones the lowest). Longer ones are cut to their middle, shorter ones laid between equal
    silences.

    Args:
        data: a folder of ``.wav`` files, nested at will; an ``.npz`` file with ``rate`` (Hz),
            int16 or float ``clips [N, T]`` or flat ``samples`` and each clip's ``length``, and
            perhaps ``labels``; an array ``[N, T]`` or a sequence of arrays ``[T]``, with ``rate``.
        rate: Hz, of arrays.
        like: an encoder's settings. None: ``size`` bands by ``size`` frames over 1.024 seconds.
        size: 64 where None.
        labelled: labels are needed. Of a folder they are its class folders.
        labels: one for each of ``data``, where these are arrays.

    Raises:
        UsageError: there is nothing there, too much of it is unreadable (more than 10 and 1 %, or
            all), all is silent, or labels or the rate are missing.
    """
    sounds = open_sounds(data, rate, labelled, labels)
    rates: Counter[int] = Counter()
    for row in range(len(sounds)):
        if found := sounds.rate(row):
            rates[found] += 1
    if not rates:
        rates[8_000] = 1  # none can be read: reading them says why
    made = like or settings(min(rates, key=lambda each: (-rates[each], each)), size)
    values, rows, digests, skipped = _spectrograms(sounds, made)
    sounds.refuse_unless_enough(skipped)
    if bool((values == values[0, 0, 0, 0]).all()):
        raise UsageError(f"Every clip in {sounds.name} is silent: give sounds.")
    kept = torch.tensor(rows)
    names = [sounds.names[row] for row in rows]
    ids = sample_ids(names)
    if like is None:
        std, mean = torch.std_mean(values.double(), correction=0)
        made = LogMel(**vars(made) | {"mean": float(mean), "std": float(std)})
    return Clips(
        values=values,
        settings=made,
        ids=ids,
        labels=None if sounds.labels is None else sounds.labels[kept],
        classes=sounds.classes,
        names=names,
        digests=digests,
        fingerprint=data_fingerprint(ids.numpy(), digests),
        skipped=skipped,
    )


def _spectrograms(
    sounds: Sounds, made: LogMel
) -> tuple[Tensor, list[int], NDArray[np.uint8], list[tuple[str, str]]]:
    """Values, rows and digests of what is readable, and names of and reasons for the rest."""
    transform = ToLogMel(made)
    rows: list[int] = []
    digests: list[bytes] = []
    skipped: list[tuple[str, str]] = []
    waiting: list[Tensor] = []
    parts: list[Tensor] = []
    for row, name in enumerate(sounds.names):
        try:
            sound, rate, content = sounds.read(row)
            clip = as_clip(sound, rate, made)
        except (OSError, ValueError) as error:
            skipped.append((name, " ".join(str(error).split())))
            continue
        rows.append(row)
        digests.append(content_digest(content))
        waiting.append(clip)
        if len(waiting) == _CHUNK:
            parts.append(transform(torch.stack(waiting)))
            waiting.clear()
    if waiting:
        parts.append(transform(torch.stack(waiting)))
    values = torch.cat(parts) if parts else torch.zeros(1, 1, made.bands, made.frames)
    joined = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
    return values, rows, joined, skipped


def as_clip(clip: NDArray[np.float32], rate: int, made: LogMel) -> Tensor:
    """A sound ``[T]`` at the settings' rate and length, float32.

    Raises:
        ValueError: it is shorter than one window, or holds NaN or infinity.
    """
    sound = torch.from_numpy(clip)
    require_sound(sound, rate, made)
    return fit(resample(sound, rate, made.rate), made.length)


def require_sound(clips: Tensor, rate: int, made: LogMel) -> None:
    """Raises ValueError where sounds ``[..., T]`` are shorter than one window, or hold NaN or
    infinity."""
    length = clips.shape[-1]
    if length < made.window * rate:
        raise ValueError(
            f"{1e3 * length / rate:.0f} ms are less than one window of {1e3 * made.window:.0f}"
        )
    if not bool(clips.isfinite().all()):
        raise ValueError("it holds NaN or infinity")
