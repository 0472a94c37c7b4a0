"""Transfer: a linear probe on each of several labelled data sets, and the mean of all."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Literal, NamedTuple

import torch

from ownlatent.errors import UsageError
from ownlatent.evaluation.features import embed
from ownlatent.evaluation.linear import linear_probe
from ownlatent.evaluation.multilabel import VOC, multilabel_probe, read_voc
from ownlatent.evaluation.protocols import Subject
from ownlatent.evaluation.run import split_of
from ownlatent.evaluation.subjects import Subjects, find_subjects
from ownlatent.kinds import KINDS

STRENGTHS = tuple(10 ** (-6 + 11 * n / 44) for n in range(45))
"""L2 penalties of the papers' sweep: 45 from 1e-6 to 1e5."""
TESTS = ("test", "val", "validation", "valid")
METRICS = {"top1": "accuracy", "mean": "mean per class", "voc": "mAP (11 points)"}


class DataSet(NamedTuple):
    """A folder with ``train`` and one of :data:`TESTS`, or one to hold a fifth of apart; or one of
    Pascal VOC's form, whose images have several labels."""

    path: Path
    metric: Literal["top1", "mean", "voc"]

    @classmethod
    def parse(cls, text: str) -> "DataSet":
        """From "food"; "pets@mean" for accuracy averaged over classes; or "VOC2007@voc".

        Raises:
            UsageError: there is no such metric or folder.
        """
        path, at, metric = text.rpartition("@")
        if not at:
            path, metric = text, "top1"
        if metric not in METRICS:
            raise UsageError(
                f"After @ comes top1, mean (over classes, as for aircraft, pets, Caltech and "
                f"flowers) or voc (several labels, in Pascal VOC's form); got {metric!r}."
            )
        if not Path(path).exists():
            raise UsageError(f"There is nothing at {path}; give folders of labelled images.")
        return cls(Path(path), metric)  # type: ignore[arg-type]

    def parts(self) -> tuple[Path, Path | None]:
        """What to fit on and what to score, where they lie apart."""
        train = self.path / "train"
        tests = [self.path / name for name in TESTS if (self.path / name).exists()]
        if train.exists() and tests:
            return train, tests[0]
        alone = self.path.is_dir() and [f for f in self.path.iterdir() if f.is_dir()] == [train]
        return (train if alone else self.path), None


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
        sets. Also written to ``transfer.json`` in a run. A mean over classes, or over VOC's
        average precisions, has no interval.

    Raises:
        UsageError: there is no encoder, no data set, or one without usable labels.
    """
    if not data:
        raise UsageError("Give one or more folders of labelled images.")
    sets = [DataSet.parse(text) for text in data]
    # What is wrong with annotations is said before anything is measured.
    known = {each: read_voc(each.path) for each in sets if each.metric == "voc"}
    subjects = find_subjects(
        run, network=network, backbone=backbone, baselines=baselines, seed=seed, device=device
    )
    results: list[dict[str, Any]] = []
    for each in sets:
        rows = (
            _voc(each, known[each], subjects, seed, device)
            if each in known
            else _classes(each, subjects, seed, device)
        )
        results += [{"data": str(each.path), "metric": METRICS[each.metric], **row, "seed": seed}
                    for row in rows]  # fmt: skip
    means = {
        features: mean(r["value"] for r in results if r["features"] == features)
        for features, _ in subjects.nets
    }
    report = {"encoder": str(run), "results": results, "means": means}
    subjects.keep("transfer.json", report)
    return report


def _classes(each: DataSet, subjects: Subjects, seed: int, device: str) -> list[dict[str, Any]]:
    train, test = each.parts()
    split = split_of(train, test, subjects.encoder.preprocessing, None, None, seed)
    labels, truth = split.labels()
    rows = []
    for features, net in subjects.nets:
        fitted, scored = Subject(features, net, split, seed, device).features
        probe = linear_probe(fitted, labels, scored, truth, seed=seed, strengths=STRENGTHS)
        low, high = probe.interval if each.metric == "top1" else (None, None)
        rows.append({
            "features": features,
            "value": probe.accuracy if each.metric == "top1" else probe.mean_per_class,
            "low": low, "high": high, "n_train": probe.n_train, "n_test": probe.n_test,
            "classes": probe.n_classes, "details": probe.protocol,
        })  # fmt: skip
    return rows


def _voc(
    each: DataSet, known: VOC, subjects: Subjects, seed: int, device: str
) -> list[dict[str, Any]]:
    settings = subjects.encoder.preprocessing
    samples = KINDS[settings.kind].open(
        each.path / "JPEGImages", size=getattr(settings, "size", 0), labelled=False, label=None,
        like=settings,
    )  # fmt: skip
    places = {Path(name).stem: row for row, name in enumerate(samples.names)}
    missing = [name for name in (*known.train, *known.test) if name not in places]
    if missing:
        raise UsageError(
            f"There is no image {missing[0]} in {each.path}/JPEGImages; see its lists."
        )
    parts = [torch.tensor([places[n] for n in names]) for names in (known.train, known.test)]
    rows = []
    for features, net in subjects.nets:
        made = embed(net, samples, device=device)
        mean_precision, by_class, strength = multilabel_probe(
            made[parts[0]], known.train_labels, made[parts[1]], known.test_labels,
            strengths=STRENGTHS, seed=seed,
        )  # fmt: skip
        left_out = [n for n, own in zip(known.classes, by_class, strict=True) if own is None]
        rows.append({
            "features": features, "value": mean_precision, "low": None, "high": None,
            "n_train": len(known.train), "n_test": len(known.test),
            "classes": len(known.classes) - len(left_out), "by class": by_class,
            "details": f"linear probe of each class, frozen standardised features, L2 strength "
            f"{strength:g} of {len(STRENGTHS)} chosen on held-out training samples (seed {seed})"
            + (f"; without {', '.join(left_out)}: in all training images, or in no test image"
               if left_out else ""),
        })  # fmt: skip
    return rows
