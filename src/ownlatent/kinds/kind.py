"""What a run, an evaluation and an encoder must know of the kind of their data."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ownlatent.config import Plan, Pretrain
from ownlatent.data.decoding import Progress
from ownlatent.errors import UsageError


class Samples(Protocol):
    """A data set in memory: canvases, a table, sentences.

    Attributes: see :class:`ownlatent.data.Canvases`.
    """

    kind: ClassVar[str]

    @property
    def ids(self) -> Tensor: ...
    @property
    def labels(self) -> Tensor | None: ...
    @property
    def classes(self) -> list[str] | None: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def digests(self) -> NDArray[np.uint8]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def skipped(self) -> list[tuple[str, str]]: ...

    def __len__(self) -> int: ...

    def batch(
        self, rows: Tensor, device: str | torch.device
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Content, true sizes (or None) and ids of the samples in ``rows`` (int64 ``[B]``)."""
        ...

    def expect(self, coming: Iterator[Tensor]) -> None:
        """Be told the rows of the next calls of ``batch``, to make them ready."""
        ...

    def summary(self) -> str: ...


class Looks(NamedTuple):
    """How views are made, as far as it depends on the data."""

    size: int
    views: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def require_named(name: str, known: Collection[str], noun: str, options: Mapping[str, Any]) -> None:
    """Raises UsageError where no backbone for ``noun`` has this name, or an option is asked for
    that only those of images have."""
    if "stem" in options or options.get("frozen_patches") or options.get("drop_path"):
        raise UsageError(
            f"{name} has no stem, no patches and no drop-path: leave these options out."
        )
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        all_of_them = f"choose one of {', '.join(known)}."
        if len(known) == 2:
            all_of_them = f"choose {' or '.join(known)}."
        hint = f"did you mean {near[0]}?" if near else all_of_them
        raise UsageError(f"No backbone for {noun} is called {name!r}; {hint}")


def describe(name: str, net: Any, inputs: str) -> str:
    """A line about a small network."""
    thousand = sum(p.numel() for p in net.parameters()) / 1e3
    return f"{name}: {thousand:,.0f} thousand parameters, {net.num_features} features, {inputs}"


class Kind(ABC):
    """One kind of data, from a file to a backbone."""

    name: ClassVar[str]
    noun: ClassVar[str]
    """What several samples are called."""
    unit: ClassVar[str]
    """What a view's size counts."""
    backbone: ClassVar[str]
    """The one that is taken where none is asked for."""

    @abstractmethod
    def open(
        self, data: Any, *, size: int, labelled: bool, label: str | None, like: Any = None
    ) -> Samples:
        """The samples of ``data`` for views of ``size``; ``like`` is an encoder's preprocessing."""

    def samples(
        self, config: Pretrain, data: Any, *, device: torch.device, progress: Progress | None
    ) -> Samples:
        """The data of a run; ``progress`` is called with samples read and in all, if that takes
        long."""
        return self.open(data, size=config.size or 0, labelled=config.labelled, label=config.label)

    @abstractmethod
    def looks(self, config: Pretrain, samples: Any, family: str) -> Looks:
        """Settle the views of a run; ``family`` is what the preset calls them."""

    @abstractmethod
    def views(self, config: Pretrain, plan: Plan, samples: Any) -> nn.Module:
        """What makes them: called as :class:`ownlatent.views.Views` is."""

    @abstractmethod
    def preprocessing(self, plan: Plan, samples: Any) -> Any:
        """What an encoder stores of its data: a dataclass that JSON can hold."""

    @abstractmethod
    def restored(self, stored: dict[str, Any]) -> Any:
        """The same from JSON.

        Raises:
            KeyError, TypeError, UsageError: it cannot be one.
        """

    @abstractmethod
    def preprocess(self, preprocessing: Any) -> nn.Module:
        """The module that does it: content (and sizes) to what the backbone takes; its ``tensors``
        makes content of whatever a person has."""

    @abstractmethod
    def network(
        self, name: str, preprocessing: Any, size: int, **options: Any
    ) -> tuple[nn.Module, str]:
        """A backbone by name, and a line that says what it is."""

    @abstractmethod
    def raw(self, preprocessing: Any) -> tuple[str, nn.Module]:
        """The baseline that learned nothing: its name, and content (and sizes) to ``[B, D]``."""
