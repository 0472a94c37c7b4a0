"""What features say about themselves, and about the data: rank, spread, doubles, oddities."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent import diagnostics
from ownlatent.checks import require_within
from ownlatent.data import Data
from ownlatent.encoder import Encoder
from ownlatent.evaluation.features import embed
from ownlatent.evaluation.knn import nearest
from ownlatent.evaluation.subjects import find_subjects
from ownlatent.kinds import KINDS, Samples
from ownlatent.views import Views, default_views

NEIGHBOURS = 10
DOUBLE = 0.99
"""Cosine from which two samples are called doubles."""
LISTED = 20
_EPOCH = 2**31 - 2  # of the augmentations: one that no run reaches


def diagnose(
    run: str | Path,
    data: Data | Samples,
    *,
    label: str | None = None,
    network: str | None = None,
    backbone: str | None = None,
    images: int = 1000,
    augmentations: int = 10,
    double: float = DOUBLE,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Look at an encoder's features without training anything; labels are used where there are any.

    Args:
        run: an encoder, wherever it comes from; see :func:`ownlatent.evaluate`.
        data: samples of the encoder's kind.
        label: the column of a table that holds the labels.
        network, backbone: see :func:`ownlatent.evaluate`.
        images: how many, evenly spread over the data, are augmented for LiDAR and alignment (of
            encoders of images only).
        augmentations: views of each, 2 or more; LiDAR's paper takes 50, or 10 for a cheap estimate.
        double: cosine from which two samples are called doubles.
        seed: of the augmentations.
        device: where features are computed.

    Returns:
        ``features``: N and D; ``feature_std`` (times the root of D: 1 where spread evenly),
        ``rankme``, ``effective_rank``, ``uniformity``, ``spectrum`` (singular values of centred
        features over the largest, 128 at most), and of images ``lidar`` and ``alignment``;
        ``purity`` (share of the 10 nearest neighbours with a sample's own label; None without
        labels); ``doubles``: how many pairs, and the nearest by name; ``outliers``: the samples
        least like their 10 nearest neighbours, by name. Also written to ``diagnostics.json`` in a
        run.

    Raises:
        UsageError: there is no encoder, or the data cannot be read or are fewer than 12.
    """
    require_within("images", images, 2, 10**6)
    require_within("augmentations", augmentations, 2, 1000)
    require_within("double", double, -1, 1)
    subjects = find_subjects(
        run, network=network, backbone=backbone, baselines=False, seed=seed, device=device
    )
    ((name, encoder),) = subjects.nets
    kind = KINDS[encoder.preprocessing.kind]
    samples = kind.open(
        data, size=getattr(encoder.preprocessing, "size", 0), labelled=False, label=label,
        like=encoder.preprocessing,
    )  # fmt: skip
    require_within(f"The number of {kind.noun}", len(samples), NEIGHBOURS + 2, 10**12)
    features = embed(encoder, samples, device=device)
    cosines, rows = nearest(features, features, NEIGHBOURS, samples.ids, samples.ids)
    pairs = doubles(cosines, rows, double)
    odd = cosines.mean(1).argsort()[:LISTED]
    report = {
        "encoder": name,
        "data": samples.fingerprint,
        "features": list(features.shape),
        "feature_std": diagnostics.feature_std(features).item() * features.shape[1] ** 0.5,
        "rankme": diagnostics.rankme(features).item(),
        "effective_rank": diagnostics.effective_rank(features).item(),
        "uniformity": diagnostics.uniformity(features[_spread(len(features), 10_000)]).item(),
        "spectrum": diagnostics.spectrum(features)[:128].tolist(),
        "purity": None if samples.labels is None else purity(rows, samples.labels),
        "doubles": {
            "count": len(pairs),
            "nearest": [
                [samples.names[a], samples.names[b], round(cosine, 4)]
                for a, b, cosine in pairs[:LISTED]
            ],
        },
        "outliers": [
            [samples.names[row], round(cosines[row].mean().item(), 4)] for row in odd.tolist()
        ],
    }
    if encoder.preprocessing.kind == "images":
        views = _augmented(encoder, samples, images, augmentations, seed, device)
        report["lidar"] = diagnostics.lidar(views).item()
        report["alignment"] = diagnostics.alignment(views[:, 0], views[:, 1]).item()
    subjects.keep("diagnostics.json", report)
    return report


def purity(rows: Tensor, labels: Tensor) -> float:
    """Share of neighbours with a sample's own label.

    Args:
        rows: int64 ``[N, k]``, each sample's neighbours.
        labels: int64 ``[N]``; negative ones, which are unlabelled, do not count.
    """
    same = labels[rows] == labels[:, None]
    known = (labels >= 0)[:, None] & (labels[rows] >= 0)
    return (same & known).sum().item() / max(1, int(known.sum()))


def doubles(cosines: Tensor, rows: Tensor, least: float) -> list[tuple[int, int, float]]:
    """Pairs of samples that are nearly one, nearest first, each once.

    Args:
        cosines, rows: ``[N, k]`` of each sample's neighbours.
        least: cosine from which on a pair counts.

    Returns:
        two rows, the lesser first, and their cosine.
    """
    found = (cosines >= least).nonzero()
    pairs = {}
    for row, place in found.tolist():
        other = int(rows[row, place])
        pairs[min(row, other), max(row, other)] = cosines[row, place].item()
    return [(a, b, cosine) for (a, b), cosine in sorted(pairs.items(), key=lambda p: -p[1])]


def said(report: dict[str, Any]) -> str:
    """The report in lines for the terminal."""
    count, dim = report["features"]
    lines = [
        f"features        {count:,} of {dim}, {report['encoder']}",
        f"spread          {report['feature_std']:.3f} (1: evenly; 0: all in one direction)",
        f"RankMe          {report['rankme']:.1f}, centred {report['effective_rank']:.1f}, "
        f"of {min(count, dim)}",
        f"uniformity      {report['uniformity']:.2f} (0: all in one direction)",
    ]
    if "lidar" in report:
        lines.append(f"LiDAR           {report['lidar']:.1f}")
        lines.append(f"alignment       {report['alignment']:.3f} (0: views of an image are one)")
    if report["purity"] is not None:
        lines.append(f"purity          {report['purity']:.1%} of {NEIGHBOURS} neighbours")
    pairs = report["doubles"]
    lines.append(f"doubles         {pairs['count']:,} pairs")
    lines += [f"                {a}  {b}  {cosine:.4f}" for a, b, cosine in pairs["nearest"][:5]]
    lines.append("least like      their neighbours")
    lines += [f"                {name}  {cosine:.4f}" for name, cosine in report["outliers"][:5]]
    return "\n".join(lines)


def _spread(count: int, most: int) -> Tensor:
    return torch.linspace(0, count - 1, min(count, most)).round().long()


def _augmented(
    encoder: Encoder, samples: Samples, images: int, augmentations: int, seed: int, device: str
) -> Tensor:
    """Features of several views of some images: float ``[n, q, D]``, normalised."""
    settings = encoder.preprocessing
    size = int(encoder.provenance.get("view_size", settings.size))
    views = Views(default_views(size), size, mean=settings.mean, std=settings.std).to(device)
    rows, made = _spread(len(samples), images), []
    with torch.inference_mode():
        for part in torch.split(rows, 64):
            content, sizes, ids = samples.batch(part, torch.device(device))
            seen = []
            for number in range(-(-augmentations // 2)):
                for view in views(content, ids, _EPOCH - number, seed, sizes):
                    seen.append(encoder.backbone(view).float().cpu())
            made.append(torch.stack(seen[:augmentations], 1))
    return F.normalize(torch.cat(made), dim=2)
