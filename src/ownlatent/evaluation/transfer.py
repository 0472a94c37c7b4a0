"""Transfer: a linear probe on each of several labelled data sets, and the mean of all."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Literal, NamedTuple

from ownlatent.errors import UsageError
from ownlatent.evaluation.linear import linear_probe
from ownlatent.evaluation.protocols import Subject
from ownlatent.evaluation.run import split_of
from ownlatent.evaluation.subjects import find_subjects

STRENGTHS = tuple(10 ** (-6 + 11 * n / 44) for n in range(45))
"""L2 penalties of the papers' sweep: 45 from 1e-6 to 1e5."""
METRICS = {"top1": "accuracy", "mean": "mean per class"}


class DataSet(NamedTuple):
    """A folder with ``train`` and ``test`` (or ``val``), or one to hold a fifth of apart."""

    path: Path
    metric: Literal["top1", "mean"]

    @classmethod
    def parse(cls, text: str) -> "DataSet":
        """From "food", or "pets@mean" for accuracy averaged over classes.

        Raises:
            UsageError: there is no such metric or folder.
        """
        path, at, metric = text.rpartition("@")
        if not at:
            path, metric = text, "top1"
        if metric not in METRICS:
            raise UsageError(
                f"After @ comes top1 or mean (over classes, as for aircraft, pets, Caltech and "
                f"flowers); got {metric!r}."
            )
        if not Path(path).exists():
            raise UsageError(f"There is nothing at {path}; give folders of labelled images.")
        return cls(Path(path), metric)  # type: ignore[arg-type]

    def parts(self) -> tuple[Path, Path | None]:
        """What to fit on and what to score, where they lie apart."""
        tests = [self.path / name for name in ("test", "val") if (self.path / name).exists()]
        if (self.path / "train").exists() and tests:
            return self.path / "train", tests[0]
        return self.path, None


def transfer(
    run: str | Path,
    data: Sequence[str],
    *,
    network: str | None = None,
    backbone: str | None = None,
    baselines: bool = True,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """SimCLR's and BYOL's linear transfer (BYOL, appendix D.1): logistic regression on frozen
    features, its penalty one of 45, chosen on held-out training data.

    Args:
        run: an encoder, wherever it comes from; see :func:`ownlatent.evaluate`.
        data: labelled data sets; see :meth:`DataSet.parse`.
        network, backbone: see :func:`ownlatent.evaluate`.
        baselines: also measure the same network from a random start.
        seed: of held-out parts and the random start.
        device: where features are computed.

    Returns:
        ``results``: a dict for each data set and network; ``means``: of each network over data
        sets. Also written to ``transfer.json`` in a run.

    Raises:
        UsageError: there is no encoder, no data set, or one without usable labels.
    """
    if not data:
        raise UsageError("Give one or more folders of labelled images.")
    sets = [DataSet.parse(text) for text in data]
    subjects = find_subjects(
        run, network=network, backbone=backbone, baselines=baselines, seed=seed, device=device
    )
    results: list[dict[str, Any]] = []
    for each in sets:
        train, test = each.parts()
        split = split_of(train, test, subjects.encoder.preprocessing, None, None, seed)
        labels, truth = split.labels()
        for features, net in subjects.nets:
            fitted, scored = Subject(features, net, split, seed, device).features
            probe = linear_probe(fitted, labels, scored, truth, seed=seed, strengths=STRENGTHS)
            value = probe.accuracy if each.metric == "top1" else probe.mean_per_class
            low, high = probe.interval if each.metric == "top1" else (None, None)
            results.append({
                "data": str(each.path), "features": features, "metric": METRICS[each.metric],
                "value": value, "low": low, "high": high, "n_train": probe.n_train,
                "n_test": probe.n_test, "classes": probe.n_classes, "seed": seed,
                "details": probe.protocol,
            })  # fmt: skip
    means = {
        features: mean(r["value"] for r in results if r["features"] == features)
        for features, _ in subjects.nets
    }
    report = {"encoder": str(run), "results": results, "means": means}
    subjects.keep("transfer.json", report)
    return report
