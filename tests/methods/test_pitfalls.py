"""Pitfalls 9 to 18 of METHODS.md §12, each with a test that fails when it is put back.

12 and 13 (gradients through gathers and reductions) are tests of invariance; 11 and 14 (Sinkhorn's
range, Barlow's off-diagonal) are tests of objectives.
"""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_methods import Silent, build, session, views
from torch import Tensor, nn

from ownlatent.methods import DINO, METHODS, SimSiam
from ownlatent.methods.queue import Queue
from ownlatent.networks import EMA, backbone, group_batch_norm, shuffled
from ownlatent.networks.norm import statistics_groups
from ownlatent.training.clock import Clock
from ownlatent.training.loop import settle_gradients, train

# --- 9: which views share a batch-norm batch --------------------


@pytest.mark.parametrize(
    ("name", "backbone_batches", "head_batches"),
    [
        ("byol", [8, 8, 8, 8], [8, 8, 8, 8]),
        ("simsiam", [8, 8, 8, 8], [8, 8, 8, 8]),
        ("barlow-twins", [8, 8, 8, 8], [8, 8, 8, 8]),
        ("vicreg", [8, 8, 8, 8], [8, 8, 8, 8]),
        ("moco3", [8, 8, 8, 8], [8, 8, 8, 8]),
        ("simclr", [16, 16], [32]),
        ("swav", [16, 16], [32]),
        ("dino", [16, 16], [32]),
    ],
)
def test_views_are_batched_as_in_the_paper(
    name: str, backbone_batches: list[int], head_batches: list[int]
) -> None:
    """Two global and two local views of 8 images, through the trained network."""
    method = build(name)
    seen: dict[str, list[int]] = {"backbone": [], "head": []}
    norm = next(m for m in method.online.backbone.modules() if isinstance(m, nn.BatchNorm2d))
    norm.register_forward_hook(lambda m, i, o: seen["backbone"].append(len(i[0])))
    linear = next(m for m in method.online.projector.modules() if isinstance(m, nn.Linear))
    linear.register_forward_hook(lambda m, i, o: seen["head"].append(len(i[0])))
    method(views(crops=2))
    assert (seen["backbone"], seen["head"]) == (backbone_batches, head_batches)


# --- 10: shuffled batch norm --------------------


def test_keys_are_normalised_among_other_images_than_queries() -> None:
    """Each group of the keys' batch norm holds images of every group of the queries'."""
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(x.flatten())
            return x, x

    spy = group_batch_norm(Spy(), groups=4)
    assert statistics_groups(spy) == 4
    numbers = torch.arange(16.0)[:, None]
    outputs = shuffled(spy, numbers)
    groups = (seen[0].view(4, 4) // 4).long()  # from which group each image came
    for group in groups:
        assert sorted(group.tolist()) == [0, 1, 2, 3]
    for output in outputs:  # and back in order
        assert torch.equal(output, numbers)


def test_without_groups_nothing_is_shuffled() -> None:
    method = build("moco")
    first, second = views()
    kept = method([first, second]).kept
    expected = F.normalize(method.target.network(second)[1], dim=1)
    torch.testing.assert_close(kept, expected, rtol=1e-4, atol=1e-5)


# --- 15: the queue --------------------


def test_the_queue_is_first_in_first_out_for_any_batch() -> None:
    queue = Queue(10, 2)
    assert torch.allclose(queue.vectors.norm(dim=1), torch.ones(10))  # random directions
    added = torch.arange(42.0).view(21, 2)
    for batch in added.split(4):  # which does not divide 10
        queue.add(batch)
    held = {tuple(row.tolist()) for row in queue.vectors}
    assert held == {tuple(row.tolist()) for row in added[-10:]}
    queue.add(torch.arange(100.0, 130.0).view(15, 2))  # longer than the queue
    assert queue.vectors.min() == 110.0


def test_keys_are_enqueued_after_they_were_used_and_with_length_one() -> None:
    method = build("moco")
    before = method.queue.vectors.clone()
    outcome = method(views())
    assert torch.equal(method.queue.vectors, before)
    q = F.normalize(method.online(views()[0])[1], dim=1)
    k = F.normalize(method.target.network(views()[1])[1], dim=1)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ before.T], 1) / method.temperature
    expected = -(logits.log_softmax(1)[:, 0]).mean()
    assert outcome.loss.item() == pytest.approx(expected.item(), rel=1e-4)
    method.after_step(0, 10, outcome.kept)
    assert torch.allclose(method.queue.vectors.norm(dim=1), torch.ones(40), atol=1e-5)
    assert torch.equal(method.queue.vectors[8:], before[8:])
    assert not torch.equal(method.queue.vectors[:8], before[:8])


# --- 16: DINO --------------------


def test_dinos_centre_is_used_before_it_moves() -> None:
    method = build("dino")
    method.center.normal_()
    before = method.center.clone()
    outcome = method(views())
    assert torch.equal(method.center, before)
    teacher = torch.cat(method.target.together(views())[1])
    method.after_step(0, 10, outcome.kept)
    torch.testing.assert_close(
        method.center, 0.9 * before + 0.1 * teacher.mean(0), rtol=1e-3, atol=1e-4
    )


def test_dinos_temperature_rises_epoch_by_epoch() -> None:
    method = build("dino")  # 0.04 to 0.07 over 30 epochs: linspace(0.04, 0.07, 30), then 0.07
    expected = torch.linspace(0.04, 0.07, 30).tolist()
    for epoch in (0.0, 0.9, 1.0, 17.5, 29.0, 200.0):
        method.before_step(0, 10, epoch)
        wanted = expected[min(int(epoch), 29)]
        assert method.teacher_temperature.item() == pytest.approx(wanted, rel=1e-5)


def test_dinos_teacher_has_no_drop_path_and_the_same_parameters() -> None:
    torch.manual_seed(0)
    net, _ = backbone("small-vit", 3, 32, drop_path=0.5)
    method: Any = DINO(net, prototypes=12, bottleneck=8, hidden=16)
    images = torch.randn(4, 3, 32, 32)
    twice = [method.target(images)[0] for _ in range(2)]
    assert torch.equal(*twice)
    student = {k: v.shape for k, v in method.online.named_parameters()}
    assert student == {k: v.shape for k, v in method.target.network.named_parameters()}
    assert {"projector.2.direction", "projector.2.length"} <= set(student)
    assert not method.online.projector[2].length.requires_grad  # norm_last_layer
    with torch.no_grad():
        for p in method.online.parameters():
            p.add_(1.0)
    old = copy.deepcopy(method.target.network.projector[2])
    method.after_step(0, 10, None)
    new = method.target.network.projector[2]
    for name in ("direction", "length"):  # averaged apart, at tau = 0.996
        online = getattr(method.online.projector[2], name)
        torch.testing.assert_close(getattr(new, name), 0.996 * getattr(old, name) + 0.004 * online)


def test_gradients_are_clipped_tensor_by_tensor() -> None:
    run = session("dino", clip=0.5)
    for number, p in enumerate(run.method.parameters()):
        if p.requires_grad:
            p.grad = torch.full_like(p, 1e-3 if number % 2 else 3.0)
    settle_gradients(run, epoch=5.0)
    for number, p in enumerate(run.method.parameters()):
        if p.requires_grad:
            whole = (1e-3 if number % 2 else 3.0) * p.numel() ** 0.5
            assert p.grad.norm().item() == pytest.approx(min(whole, 0.5), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "layer"), [("dino", "online.projector.2.direction"), ("swav", "prototypes.weight")]
)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars"])
def test_the_last_layer_stands_still_in_the_first_epoch(
    name: str, layer: str, optimizer: str
) -> None:
    """Pitfalls 16 and 17: without gradient, not with a gradient of zero, which decay would move."""
    run = session(name, optimizer=optimizer, weight_decay=0.5, steps=5)
    start = dict(run.method.named_parameters())[layer].detach().clone()
    moved = []

    class Watch(Silent):
        def see(self, *_: Any) -> None:
            now = dict(run.method.named_parameters())[layer].detach()
            moved.append(not torch.allclose(now, start, rtol=0, atol=1e-6))

    train(run, Watch(), Watch(), Clock())  # type: ignore[arg-type]
    assert run.plan.steps_per_epoch == 4
    assert moved == [False] * 4 + [True]


def test_prototypes_keep_length_one() -> None:
    run = session("swav", steps=5)
    with torch.no_grad():
        run.method.prototypes.weight.mul_(3.0)
    run.method.after_step(0, 10, None)
    lengths = run.method.prototypes.weight.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(12))


# --- 18: SimSiam --------------------


def test_simsiams_heads() -> None:
    torch.manual_seed(0)
    net, _ = backbone("small-resnet", 3, 12)
    method: Any = SimSiam(net)
    kinds = [type(layer).__name__ for layer in method.online.projector]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear", "BatchNorm1d"]
    assert not method.online.projector[-1].affine
    assert [type(layer).__name__ for layer in method.predictor] == [
        "Linear", "BatchNorm1d", "ReLU", "Linear",
    ]  # fmt: skip
    assert method.predictor[-1].bias is not None  # no batch norm on the predictor's output
    assert (method.predictor[0].out_features, method.predictor[-1].out_features) == (512, 2048)
    # torch's own initialisation, uniform within 1/sqrt(fan-in); a std of 0.01 may not converge
    weight = method.online.projector[3].weight
    assert weight.abs().max().item() == pytest.approx(2048**-0.5, rel=1e-3)


def test_simsiams_gradient_goes_through_the_prediction_only() -> None:
    method = build("simsiam")
    pair = views()
    method(pair).loss.backward()
    gradient = method.online.projector[0].weight.grad.clone()
    method.zero_grad()
    z = [method.online(view)[1] for view in pair]
    p = [method.predictor(each) for each in z]
    loss = -sum(F.cosine_similarity(p[i], z[1 - i].detach()).mean() for i in range(2)) / 2
    loss.backward()
    torch.testing.assert_close(
        gradient, method.online.projector[0].weight.grad, rtol=1e-3, atol=1e-6
    )


def test_simsiams_predictor_keeps_its_rate() -> None:
    run = session("simsiam", steps=4)
    rates = []

    class Watch(Silent):
        def see(self, *_: Any) -> None:
            predictor = {id(p) for p in run.method.predictor.parameters()}
            groups = run.optimizer.param_groups
            rates.append([
                {g["lr"] for g in groups if (id(g["params"][0]) in predictor) is mine}
                for mine in (True, False)
            ])  # fmt: skip

    train(run, Watch(), Watch(), Clock())  # type: ignore[arg-type]
    assert [mine for mine, _ in rates] == [{run.plan.lr}] * 4
    others = [min(rest) for _, rest in rates]
    assert others == sorted(others, reverse=True) and others[-1] < 0.2 * run.plan.lr


def test_a_moving_average_exists_only_where_the_paper_has_one() -> None:
    averaged = {name for name in METHODS if isinstance(getattr(build(name), "target", None), EMA)}
    assert averaged == {"byol", "moco", "moco3", "dino"}
