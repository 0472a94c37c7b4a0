"""scikit-learn's habits: an encoder that is fitted, cloned, pickled and put into a pipeline."""

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from ownlatent.checks import read_json
from ownlatent.data import Source, decode_canvases, open_source
from ownlatent.data.columns import columns_of
from ownlatent.data.folder import SUFFIXES, FolderSource
from ownlatent.data.parts import Part
from ownlatent.data.table import Table, open_table
from ownlatent.encoder import Encoder as Network
from ownlatent.errors import UsageError
from ownlatent.evaluation.features import embed
from ownlatent.foreign import find_encoder
from ownlatent.kinds import KINDS
from ownlatent.training import Stopped, pretrain
from ownlatent.training.fabric import device
from ownlatent.training.verdict import HEALTHY

__all__ = ["Encoder"]

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise UsageError(
        "ownlatent.sklearn needs scikit-learn 1.6 or newer: pip install 'ownlatent[sklearn]'."
    ) from error

_PART = 1024
"""Images decoded and embedded at a time."""
_OWN = ("options", "random_state", "network", "run", "out", "verbose")
"""Parameters that are no option of a run, or have another name there."""


class Encoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Self-supervised pretraining as a scikit-learn transformer: ``fit`` pretrains an encoder
    without labels, ``transform`` gives its features.

    What ``X`` may be, in ``fit`` and ``transform`` alike:

    - images: uint8 or uint16 ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]``; a sequence of
      paths to image files; a folder of them, or a file that :func:`ownlatent.pretrain` takes;
    - vectors: an array of numbers ``[N, C]`` (NaN is a missing value), or a ``DataFrame``, whose
      texts are categories and whose every column is a feature.

    Args:
        method, preset, backbone, size, start_size, views, crops, crops_after, epochs, steps,
            batch_size, accumulate, optimizer, base_lr, weight_decay, warmup_epochs, predictor_lr,
            clip, bn_group, norm, stem, init, drop_path, recompute, canvas, place, workers,
            accelerator, precision, compile, on_collapse, log_every: as of
            :func:`ownlatent.pretrain`; None is what follows from data and preset.
        options: the method's own, such as ``{"tau": 0.99}``; see ``ownlatent methods METHOD``.
        random_state: seed of everything random; an equal one gives equal features.
        network: whose features: "online" or "target"; None: the one the method is evaluated by.
        run: a run folder, or whatever :func:`ownlatent.evaluate` takes for one: ``fit`` then loads
            its encoder and trains nothing, and the parameters above have no say.
        out: folder to keep the run in, a new one. None: a temporary one, removed by ``fit``.
        verbose: show the run's progress on stderr.

    Attributes:
        encoder_: the :class:`ownlatent.Encoder`, on the CPU; pickled with the estimator.
        verdict_: "healthy", or what is wrong with the features; None of a ``run``.
        log_: the rows of the run's log; [] of a ``run``.
        n_features_in_, feature_names_in_: of vectors, as scikit-learn has them.
    """

    def __init__(
        self,
        method: str = "byol",
        *,
        preset: str = "small",
        backbone: str | None = None,
        size: int | None = None,
        start_size: int | None = None,
        views: str | None = None,
        crops: int | None = None,
        crops_after: float = 0.0,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        accumulate: int = 1,
        optimizer: Literal["lars", "sgd", "adamw"] | None = None,
        base_lr: float | None = None,
        weight_decay: float | None = None,
        warmup_epochs: float | None = None,
        predictor_lr: float | None = None,
        clip: float | None = None,
        bn_group: int | None = None,
        norm: Literal["batch", "group", "layer", "instance", "none"] | None = None,
        stem: Literal["auto", "standard"] = "auto",
        init: str | Path | None = None,
        drop_path: float = 0.0,
        recompute: bool = False,
        canvas: int | None = None,
        place: Literal["auto", "device", "host", "disk", "stream"] = "auto",
        workers: int | None = None,
        accelerator: Literal["auto", "cpu", "cuda"] = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        compile: Literal["auto", "on", "off"] = "auto",
        on_collapse: Literal["warn", "stop"] = "warn",
        log_every: int = 20,
        options: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = 0,
        network: Literal["online", "target"] | None = None,
        run: str | Path | None = None,
        out: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        self.method = method
        self.preset = preset
        self.backbone = backbone
        self.size = size
        self.start_size = start_size
        self.views = views
        self.crops = crops
        self.crops_after = crops_after
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.optimizer = optimizer
        self.base_lr = base_lr
        self.weight_decay = weight_decay
        self.warmup_epochs = warmup_epochs
        self.predictor_lr = predictor_lr
        self.clip = clip
        self.bn_group = bn_group
        self.norm = norm
        self.stem = stem
        self.init = init
        self.drop_path = drop_path
        self.recompute = recompute
        self.canvas = canvas
        self.place = place
        self.workers = workers
        self.accelerator = accelerator
        self.precision = precision
        self.compile = compile
        self.on_collapse = on_collapse
        self.log_every = log_every
        self.options = options
        self.random_state = random_state
        self.network = network
        self.run = run
        self.out = out
        self.verbose = verbose

    @classmethod
    def from_run(
        cls, run: str | Path, *, network: Literal["online", "target"] | None = None
    ) -> "Encoder":
        """A fitted transformer of an encoder that is trained already; ``fit`` leaves it as it is.

        Args:
            run: a run folder, its ``encoder/``, or an encoder trained elsewhere (a timm name, say);
                see :func:`ownlatent.evaluate`.
            network: "online" or "target".

        Raises:
            UsageError: there is no encoder, or no such network.
        """
        return cls(run=run, network=network).fit(None)

    def fit(self, X: Any, y: None = None) -> "Encoder":
        """Pretrain on ``X``; ``y`` is there for pipelines and has no say.

        A run whose features end up collapsed says so by a ``ConvergenceWarning``.

        Raises:
            ValueError: the array is none that scikit-learn would take.
            UsageError, Diverged, Collapsed, RunFailed: see :func:`ownlatent.pretrain`.
        """
        if self.run is not None:
            found = find_encoder(self.run, None).load(self.network)
            self._keep(found, None, [])
            if found.preprocessing.kind == "vectors":
                self.n_features_in_ = len(found.preprocessing.names)
            return self
        data = self._data(X, fitting=True)
        chosen = {name: _plain(value) for name, value in self.get_params(deep=False).items()}
        settings = {name: value for name, value in chosen.items() if name not in _OWN}
        if settings["init"] is not None:
            settings["init"] = Path(settings["init"])
        own = {name: _plain(value) for name, value in (self.options or {}).items()}
        with contextlib.ExitStack() as around:
            folder = self.out
            if folder is None:
                temporary = tempfile.TemporaryDirectory(prefix="ownlatent-")
                folder = Path(around.enter_context(temporary)) / "run"
            around.enter_context(torch.random.fork_rng(devices=[]))  # the caller's stays as it is
            if not self.verbose:
                around.enter_context(contextlib.redirect_stderr(io.StringIO()))
            try:
                run = pretrain(data, out=folder, seed=self._seed(), track=(), **settings, **own)
            except Stopped as stop:
                if self.out is not None:
                    raise
                raise KeyboardInterrupt("Stopped; give out to be able to go on.") from stop
            judged = read_json(run.folder / "verdict.json")
            skipped = run.config["data"]["skipped"]
            self._keep(run.encoder(self.network), judged["verdict"], run.log)
        if skipped:
            name, why = skipped[0]
            warnings.warn(f"{len(skipped)} unreadable left out: {name} ({why}).", stacklevel=2)
        if self.verdict_ != HEALTHY:
            warnings.warn(
                f"{self.verdict_}: {judged['why']} {judged['advice']}",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Features float32 ``[N, D]`` of every sample of ``X``, in order.

        Raises:
            NotFittedError: ``fit`` comes first.
            ValueError: the array has another number of columns, say.
            UsageError: samples are of another kind than the encoder's, or cannot be read.
        """
        check_is_fitted(self)
        data = self._data(X, fitting=False)
        network, where = self.encoder_, device(self.accelerator)
        known = network.preprocessing
        try:
            network.to(where)
            if known.kind == "images":
                return self._of_images(open_source(data), network, where)
            size = getattr(known, "size", 0)
            samples = KINDS[known.kind].open(
                data, size=size, labelled=False, label=None, like=known
            )
            return embed(network, samples, device=where).numpy()
        finally:
            network.to("cpu")

    def _of_images(
        self, source: Source, network: Network, where: torch.device
    ) -> NDArray[np.float32]:
        size, features = network.preprocessing.size, []
        for start in range(0, len(source), _PART):
            rows = range(start, min(start + _PART, len(source)))
            images = decode_canvases(
                Part(source, rows), view_size=size, workers=self.workers, place="host"
            )
            if images.skipped:  # a row fewer would shift all that follow
                name, why = images.skipped[0]
                raise UsageError(f"{name} cannot be read ({why}): leave it out, or mend it.")
            features.append(embed(network, images, device=where))
        return torch.cat(features).numpy()

    def _data(self, X: Any, *, fitting: bool) -> Any:
        """``X`` as ``pretrain`` takes it, once it is known to be usable."""
        if isinstance(X, str | Path):
            return X
        if isinstance(X, torch.Tensor):
            X = X.detach().cpu().numpy()
        if isinstance(X, np.ndarray) and X.ndim in (3, 4) and X.dtype in (np.uint8, np.uint16):
            return X
        if _are_paths(X):
            return _source(X)
        if isinstance(X, list | tuple) and X and isinstance(X[0], str):
            return X  # sentences
        frame = _arrow(X)
        if frame is None:
            X = validate_data(
                self, X, reset=fitting, dtype=np.float64, ensure_all_finite="allow-nan",
                ensure_min_samples=2 if fitting else 1,
            )  # fmt: skip
            return np.array(X)  # a copy: torch has no read-only arrays
        if self.run is None:  # a run's columns are found by their names
            validate_data(self, X, reset=fitting, skip_check_array=True)
        return _table(frame) if fitting else frame

    def _keep(self, network: Network, verdict: str | None, log: list[dict[str, Any]]) -> None:
        if network.preprocessing.kind != "vectors":  # an earlier fit may have been of some
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(self, name):
                    delattr(self, name)
        self.encoder_, self.verdict_, self.log_ = network, verdict, log
        self._n_features_out = network.num_features

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []  # float32 whatever comes in
        return tags


def _plain(value: Any) -> Any:
    """A number of a NumPy grid as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def _are_paths(X: Any) -> bool:
    """Whether ``X`` is a sequence of paths to image files."""
    if isinstance(X, np.ndarray):
        found = X.ndim == 1 and X.dtype.kind in "OU"
    else:  # a list, or a Series
        found = isinstance(X, Sequence) or getattr(X, "ndim", 0) == 1
    if not found or len(X) == 0:
        return False
    first = next(iter(X))
    if isinstance(first, str):
        return Path(first).suffix.lower() in SUFFIXES
    return isinstance(first, Path)


def _source(paths: Any) -> FolderSource:
    """Image files in the order given, named by what comes below the folder common to them."""
    files = [os.path.abspath(os.path.expanduser(path)) for path in paths]
    root = os.path.commonpath([os.path.dirname(file) for file in files])
    names = [Path(file).relative_to(root).as_posix() for file in files]
    return FolderSource(Path(root), names, labelled=False)


def _arrow(X: Any) -> Any:
    """A ``DataFrame`` as an Arrow table; None where ``X`` is none."""
    if not hasattr(X, "columns") and not isinstance(X, pa.Table):
        return None
    try:
        if type(X).__module__.startswith("pandas."):
            return pa.Table.from_pandas(X, preserve_index=False)
        return pa.table(X)
    except (pa.ArrowException, TypeError, ValueError) as error:
        why = str(error).split("\n")[0].rstrip(".")
        raise UsageError(f"The DataFrame is no table of numbers and categories: {why}.") from error


def _table(frame: Any) -> Table:
    """The rows of an Arrow table; a column called "label" is a feature like any other."""
    return open_table(frame, columns=columns_of(frame, "the table")[0])
