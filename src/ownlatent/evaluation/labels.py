"""How many labels a protocol may see: all, a share of each class, or a number of each class."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ownlatent.errors import UsageError

_WRITTEN = re.compile(r"(?:(\d+(?:\.\d+)?)%|(\d+)-shot)")


@dataclass(frozen=True)
class Budget:
    """A share of each class's labels (0 to 1), or a number of each class; one of the two.

    Written "1%", "10%" or "5-shot".
    """

    share: float | None = None
    shots: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """
        Raises:
            UsageError: it is neither a share nor a number of labels.
        """
        found = _WRITTEN.fullmatch(text)
        share = float(found[1]) / 100 if found and found[1] else None
        shots = int(found[2]) if found and found[2] else None
        if not (share and share <= 1) and not shots:
            raise UsageError(
                f"Labels are a share above 0, such as 1% or 10%, or a number of each class, such "
                f"as 5-shot; got {text!r}."
            )
        return cls(share, shots)

    def __str__(self) -> str:
        return f"{100 * self.share:g}%" if self.share else f"{self.shots}-shot"

    def rows(self, labels: Tensor, seed: int, classes: Sequence[str] | None = None) -> Tensor:
        """The samples whose labels are seen: int64, ascending; the same for the same seed.

        Of each class the share is rounded, and is at least one. A smaller budget's rows are among
        a larger one's.

        Args:
            labels: int64 ``[N]``, none negative.
            seed: of the draw.
            classes: names, for messages.

        Raises:
            UsageError: the share comes to fewer labels than there are classes, or a class has not
                as many samples as it takes.
        """
        found = torch.unique(labels)
        if self.share and self.share * len(labels) < len(found) - 1e-9:
            raise UsageError(
                f"{self} of {len(labels):,} samples are fewer labels than the {len(found)} "
                "classes; take a larger share, or 2-shot."
            )
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        chosen = []
        for label in found.tolist():
            members = order[labels[order] == label]
            count = self.shots or max(1, round(len(members) * (self.share or 0)))
            if count > len(members):
                name = classes[label] if classes else label
                raise UsageError(
                    f"Class {name} has {len(members)} training samples, fewer than the {count} "
                    "that are asked for; take fewer shots."
                )
            chosen.append(members[:count])
        return torch.cat(chosen).sort().values


def listed(samples: Any, rows: Tensor) -> str:
    """Names and classes of chosen samples, a line each, tab-separated."""
    return "\n".join(
        f"{samples.names[row]}\t{samples.classes[label] if samples.classes else label}"
        for row, label in zip(rows.tolist(), samples.labels[rows].tolist(), strict=True)
    )
