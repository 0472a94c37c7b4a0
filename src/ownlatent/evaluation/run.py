"""Evaluating an encoder on labelled images, beside the baselines that say what it is worth."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ownlatent.card import write_card
from ownlatent.checks import require_within
from ownlatent.data import Data, overlap
from ownlatent.errors import UsageError
from ownlatent.evaluation.labels import listed
from ownlatent.evaluation.linear import stratified_holdout
from ownlatent.evaluation.protocols import Split, Subject, Wanted
from ownlatent.evaluation.subjects import find_subjects
from ownlatent.kinds import KINDS, Samples
from ownlatent.tracking import send_results

DEFAULT = ("linear", "knn")


def evaluate(
    run: str | Path,
    data: Data | Samples,
    *,
    test: Data | Samples | None = None,
    protocols: Sequence[str] = DEFAULT,
    label: str | None = None,
    network: str | None = None,
    backbone: str | None = None,
    baselines: bool = True,
    limit: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    splits: str | Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure an encoder on labelled images.

    Args:
        run: a run folder or its ``encoder/``; or an encoder that was trained elsewhere: what timm
            calls it, a state dict, or a folder of Hugging Face's (:func:`find_encoder`).
        data: labelled images (class folders, ``.npz`` or Parquet) that probes are fitted on, or
            canvases decoded before.
        test: labelled images to score on, once. Without it a fifth of each class of ``data``,
            chosen by ``seed``, is kept apart for that.
        protocols: "knn" (both published settings), "linear" (logistic regression), "sgd" (a
            linear map by SGD, settings swept) and "finetune" (the whole network). Each also with
            fewer labels: "linear@1%" and "finetune@10%" see a share of each class's,
            "linear@5-shot" five of each, drawn by ``seed`` from those to fit on.
        label: the column of a table that holds the labels.
        network: "online" (the default) or "target".
        backbone: the network that a state dict is of.
        baselines: also measure the same network at random initialisation, and raw pixels.
        limit: fit on the first ``limit`` images only.
        epochs: passes of the protocols that train; by default "sgd" takes 80 and "finetune" 30.
        seed: of the split, the probe's held-out part and the random initialisation.
        splits: folder to write the names of the samples in, whose labels each smaller budget
            sees: a table of name and class for each.
        device: where features are computed.

    Returns:
        ``results``: one dict per features and protocol with accuracy, its 95 % interval (``low``,
        ``high``), accuracy averaged over classes, protocol, n_train, n_test and seed; ``data``:
        sizes, fingerprints and how many test images also occur in training; ``confusion``: for
        each of the encoder's own results what was taken for what how often. Also written to
        ``evaluation.json`` and ``confusion.json`` in the run.

    Raises:
        UsageError: there is no encoder, or the data have no usable labels.
    """
    wanted = [Wanted.parse(each) for each in protocols]
    if not wanted:
        raise UsageError(f"Choose protocols, such as {', '.join(DEFAULT)}.")
    require_within("epochs", epochs, 1, 10**6)
    require_within("limit", limit, 1, 10**9)
    subjects = find_subjects(
        run, network=network, backbone=backbone, baselines=baselines, seed=seed, device=device
    )
    preprocessing = subjects.encoder.preprocessing
    split = split_of(data, test, preprocessing, label, limit, seed)
    if splits is not None:
        _write_splits(Path(splits), split, wanted, seed)
    for each in wanted:
        each.rows(split, seed)  # too few are said before anything is embedded
    sets: list[tuple[str, nn.Module]] = [*subjects.nets]
    if baselines:
        name, raw = KINDS[preprocessing.kind].raw(preprocessing)
        sets.append((name, raw.to(device)))
    results, confusion, own = [], {}, {}
    for features, net in sets:
        subject = Subject(features, net, split, seed, device, epochs)
        for each in wanted:
            for protocol, result in each.measure(subject):
                low, high = result.interval
                if net is subjects.encoder:
                    confusion[protocol] = result.confusion
                    own[f"accuracy/{protocol}"] = result.accuracy
                results.append(
                    {
                        "features": features,
                        "protocol": protocol,
                        "accuracy": result.accuracy,
                        "low": low,
                        "high": high,
                        "mean_per_class": result.mean_per_class,
                        "n_train": result.n_train,
                        "n_test": result.n_test,
                        "seed": seed,
                        "details": result.protocol,
                    }
                )
    report = {
        "encoder": str(run),
        "results": results,
        "data": {
            "train": len(split.train_rows),
            "test": len(split.test_rows),
            "fingerprints": [split.train.fingerprint, split.test.fingerprint],
            "test_images_in_train": overlap(split.train, split.test) if test is not None else 0,
        },
    }
    if path := subjects.keep("evaluation.json", report):
        write_card(path.parent)
        send_results(path.parent, own)
    taken = {"classes": split.train.classes, "confusion": confusion}
    subjects.keep("confusion.json", taken, indent=None)
    return report | taken


def _write_splits(folder: Path, split: Split, wanted: Sequence[Wanted], seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    labels, _ = split.labels()
    for budget in {each.budget for each in wanted if each.budget}:
        rows = split.train_rows[budget.rows(labels, seed, split.train.classes)]
        (folder / f"{budget}.tsv").write_text(listed(split.train, rows) + "\n")


def split_of(
    data: Data | Samples,
    test: Data | Samples | None,
    preprocessing: Any,
    label: str | None,
    limit: int | None,
    seed: int,
) -> Split:
    """Labelled data to fit on and to score on; without ``test`` a fifth of each class is kept
    apart for that, by ``seed``.

    Raises:
        UsageError: there are no usable labels, or the two parts' classes differ.
    """

    def opened(data: Any) -> Samples:
        return KINDS[preprocessing.kind].open(
            data, size=getattr(preprocessing, "size", 0), labelled=True, label=label,
            like=preprocessing,
        )  # fmt: skip

    train = opened(data)
    rows = torch.arange(len(train))
    if test is not None:
        other = opened(test)
        if train.classes and other.classes and train.classes != other.classes:
            places = {name: place for place, name in enumerate(train.classes)}
            unknown = [repr(name) for name in other.classes if name not in places]
            if unknown:
                raise UsageError(
                    f"The test data have {', '.join(unknown[:5])} where the training data have "
                    f"{', '.join(map(repr, train.classes[:10]))}: name the classes alike, or leave "
                    "those out."
                )
            # A class that no test sample has moves the numbers of those after it.
            moved = torch.tensor([places[name] for name in other.classes])[other.labels]
            other = replace(other, labels=moved, classes=train.classes)  # type: ignore[type-var]
        if not bool(torch.isin(other.labels, train.labels).any()):  # type: ignore[arg-type]
            raise UsageError(
                "The test data have no class in common with the training data; number the classes "
                "alike."
            )
        return Split(train, _limited(train, rows, limit), other, torch.arange(len(other)))
    assert train.labels is not None
    held = stratified_holdout(train.labels, 0.2, seed)
    return Split(train, _limited(train, rows[~held], limit), train, rows[held])


def _limited(train: Samples, rows: torch.Tensor, limit: int | None) -> torch.Tensor:
    """The first ``limit`` rows, which must have all classes: folders come class by class."""
    assert train.labels is not None
    kept = rows[:limit]
    counts = [len(torch.unique(train.labels[some])) for some in (kept, rows)]
    if counts[0] < counts[1]:
        raise UsageError(
            f"The first {limit:,} samples have {counts[0]} of {counts[1]} classes; instead of "
            "--limit take a share of each class, as in linear@10%."
        )
    return kept
