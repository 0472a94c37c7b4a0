"""Local crops: which view predicts which, at the scale of two; and without them, two views."""

import copy
import math
from typing import Any

import pytest
import small_methods
import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.methods import METHODS
from ownlatent.methods.crops import mean_over_pairs
from ownlatent.networks import random_order, without_batch_statistics
from ownlatent.networks.frozen import sincos


def build(name: str) -> Any:
    return small_methods.build(name).double()


def views(crops: int, batch: int = 8) -> list[Tensor]:
    return small_methods.views(crops, batch, torch.float64)


def test_pairs_are_every_view_with_every_other_global_one() -> None:
    asked: list[tuple[int, int]] = []

    def loss(i: int, j: int) -> Tensor:
        asked.append((i, j))
        return torch.tensor(10.0 * i + j, dtype=torch.float64)

    mean = mean_over_pairs(loss, range(4))
    expected = [(0, 1), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1)]
    assert sorted(asked) == expected  # 2 (2 + L) - 2 of them; no view predicts itself
    assert mean.item() == pytest.approx(sum(10 * i + j for i, j in expected) / 6)


@pytest.mark.parametrize("crops", [0, 1, 3])
def test_a_symmetric_loss_is_computed_once_and_counts_twice(crops: int) -> None:
    values = torch.rand(5, 5, dtype=torch.float64)
    values = values + values.T

    def loss(i: int, j: int) -> Tensor:
        return values[i, j]

    both = [mean_over_pairs(loss, range(2 + crops), symmetric=s) for s in (False, True)]
    assert both[0].item() == pytest.approx(both[1].item(), rel=1e-12)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(1)


@pytest.mark.parametrize("crops", [0, 2])
def test_byol_with_crops_is_the_papers_loss_over_pairs(crops: int) -> None:
    """Of two views the sum of both directions; with more, twice the mean over pairs."""
    method, given = build("byol"), views(crops)
    loss = method(given).loss
    p = [method.predictor(method.online(view)[1]) for view in given]
    t = [method.target(view)[1] for view in given[:2]]
    terms = [
        (2 - 2 * cosine(p[i], t[j])).mean() for i in range(2 + crops) for j in (0, 1) if i != j
    ]
    assert len(terms) == 2 + 2 * crops
    assert loss.item() == pytest.approx(2 * sum(terms).item() / len(terms), rel=1e-9)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", METHODS)
def test_without_crops_it_is_the_two_view_path(name: str) -> None:
    """Local crops that repeat nothing change the loss; none of them leaves the paper's."""
    method = build(name)
    method.before_step(0, 10, 0.0)
    two, again, more = (copy.deepcopy(method)(views(n)).loss.item() for n in (0, 0, 2))
    assert two == again and math.isfinite(more) and (more != two or name == "mae")
    assert two == pytest.approx(_by_hand(name, method, views(0)).item(), rel=1e-9)


def _by_hand(name: str, method: Any, pair: list[Tensor]) -> Tensor:
    """The loss of two views, from the method's networks and the paper's formula."""
    if name == "mae":
        return _masked(method, pair[0])
    if name in ("simclr", "swav", "dino"):  # one batch for both views
        z = list(method.online.projector(method.online.backbone(torch.cat(pair))).chunk(2))
    else:
        z = [method.online(view)[1] for view in pair]
    n = len(pair[0])
    if name == "byol":
        t = [method.target(view)[1] for view in pair]
        p = [method.predictor(each) for each in z]
        return (4 - 2 * cosine(p[0], t[1]) - 2 * cosine(p[1], t[0])).mean()
    if name == "simsiam":
        p = [method.predictor(each) for each in z]
        return -(cosine(p[0], z[1]) + cosine(p[1], z[0])).mean() / 2
    if name == "simclr":
        every = F.normalize(torch.cat(z), dim=1)
        logits = every @ every.T / method.temperature
        rows = []
        for i in range(2 * n):
            others = [k for k in range(2 * n) if k != i]
            rows.append(torch.logsumexp(logits[i, others], 0) - logits[i, (i + n) % (2 * n)])
        return torch.stack(rows).mean()
    if name == "moco":
        q, k = F.normalize(z[0], dim=1), F.normalize(method.target(pair[1])[1], dim=1)
        positive = (q * k).sum(1) / method.temperature
        against = torch.cat([positive[:, None], q @ method.queue.vectors.T / method.temperature], 1)
        return (against.logsumexp(1) - positive).mean()
    if name == "moco3":
        p = [F.normalize(method.predictor(each), dim=1) for each in z]
        k = [F.normalize(method.target(view)[1], dim=1) for view in pair]
        total: Any = 0
        for i in range(2):
            logits = p[i] @ k[1 - i].T / method.temperature
            total += 2 * method.temperature * (logits.logsumexp(1) - logits.diagonal()).mean()
        return total  # type: ignore[no-any-return]
    if name == "barlow-twins":
        a, b = ((x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() for x in z)
        c = a.T @ b / n
        eye = torch.eye(len(c), dtype=torch.bool)
        return (c[eye] - 1).square().sum() + 0.0051 * c[~eye].square().sum()
    if name == "vicreg":
        hinge = [F.relu(1 - (x.var(0) + 1e-4).sqrt()).mean() for x in z]
        covariances = [torch.cov(x.T) for x in z]
        off = [(c.square().sum() - c.diagonal().square().sum()) / len(c) for c in covariances]
        return 25 * (z[0] - z[1]).square().mean() + 12.5 * sum(hinge) + sum(off)  # type: ignore[return-value]
    if name == "swav":
        scores = [F.normalize(x, dim=1) @ method.prototypes.weight.T for x in z]
        codes = []
        for s in scores:  # Sinkhorn-Knopp as the paper writes it, on the exponential
            q = (s / 0.05).exp().T
            for _ in range(3):
                q = q / q.sum(1, keepdim=True) / len(q)
                q = q / q.sum(0, keepdim=True) / n
            codes.append((q * n).T)
        losses = [-(codes[j] * (scores[1 - j] / 0.1).log_softmax(1)).sum(1).mean() for j in (0, 1)]
        return sum(losses) / 2  # type: ignore[return-value]
    t = method.target.together(pair)[1]
    targets = [((x - method.center) / 0.04).softmax(1) for x in t]
    losses = [-(targets[j] * (z[1 - j] / 0.1).log_softmax(1)).sum(1).mean() for j in (0, 1)]
    return sum(losses) / 2  # type: ignore[return-value]


def _masked(method: Any, view: Tensor) -> Tensor:
    """Image by image, its visible patches (of one pixel here) in the order of the image."""
    net, decoder, side = method.online.backbone, method.decoder, view.shape[-1]
    order = random_order(len(view), side * side, (int(method.key), 0, 0), view.device)
    errors = []
    for image, places in zip(view, order, strict=True):
        visible = places[: side * side // 4].sort().values
        tokens = net.patch_embed(image[None]).flatten(1, 2) + net.pos_embed[:, 1:]
        tokens = torch.cat([net.cls_token, tokens[:, visible]], 1)
        seen = decoder.embed(net.norm(net.blocks(tokens)))
        patches = decoder.mask_token.repeat(1, side * side, 1)
        patches[:, visible] = seen[:, 1:]
        patches = patches + sincos(side, side, patches.shape[2])
        found = decoder.predict(decoder.norm(decoder.blocks(torch.cat([seen[:, :1], patches], 1))))
        target = image.flatten(1).T
        target = (target - target.mean(1, keepdim=True)) / (
            target.var(1, keepdim=True) + 1e-6
        ).sqrt()
        hidden = [i for i in range(side * side) if i not in visible.tolist()]
        errors.append((found[0, 1:] - target)[hidden].square().mean())
    return torch.stack(errors).mean()


def test_micro_batches_of_byol_with_group_norm_are_the_large_batch() -> None:
    """Nothing in it looks at other images, so the mean of two halves' gradients is the whole's."""
    method = small_methods.session("byol", norm="group").method.double()
    halves, whole = copy.deepcopy(method), views(0, 16)
    method(whole).loss.backward()
    for rows in (slice(0, 8), slice(8, 16)):
        (halves([view[rows] for view in whole]).loss / 2).backward()
    gradients = [[p.grad for p in m.parameters() if p.requires_grad] for m in (method, halves)]
    norm = torch.stack([g.norm() for g in gradients[0]]).norm()
    for one, two in zip(*gradients, strict=True):
        assert (one - two).norm() <= 1e-8 * norm
    batch_norm = build("byol")  # with it, the halves' statistics differ from the whole's
    assert abs(batch_norm(whole).loss - batch_norm([v[:8] for v in whole]).loss) > 1e-3
    assert not any("running" in name for name, _ in method.named_buffers())
    assert without_batch_statistics(method) is method  # nothing is left to replace
