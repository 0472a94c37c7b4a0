"""BYOL as a whole: three steps against the paper's algorithm written out, and its pitfalls."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ownlatent.errors import UsageError
from ownlatent.methods import BYOL, preset
from ownlatent.methods.options import defaults
from ownlatent.methods.presets import PRESETS
from ownlatent.objectives import nt_xent
from ownlatent.optim import LARS, parameter_groups


class Tiny(nn.Module):
    """A backbone with batch norm, small enough to follow."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x))).mean((2, 3))


def views(seed: int, batch: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, 3, 9, 9, generator=generator, dtype=torch.float64) + shift
        for shift in (0.0, 1.0)  # two views whose batch statistics differ
    ]


def byol(**options) -> BYOL:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    return BYOL(Tiny(), hidden=16, dim=5, **{"tau": 0.9, **options}).double()


def distance(q: Tensor, z: Tensor) -> Tensor:
    q = q / q.norm(dim=1, keepdim=True)
    z = z / z.norm(dim=1, keepdim=True)
    return ((q - z) ** 2).sum(1).mean()


def test_three_steps_are_the_papers_algorithm() -> None:
    """Algorithm 1 with LARS spelled out on plain tensors, in float64."""
    method = byol(tau=0.9)
    total, lr, decay = 3, 0.7, 1e-3
    # The reference keeps its own copies: theta (online and predictor) and xi (target).
    online, predictor = copy.deepcopy(method.online), copy.deepcopy(method.predictor)
    shell = copy.deepcopy(method.online)
    theta = {f"o.{k}": v.detach().clone() for k, v in online.named_parameters()}
    theta |= {f"q.{k}": v.detach().clone() for k, v in predictor.named_parameters()}
    xi = {k: v.detach().clone() for k, v in online.named_parameters()}
    buffers = {k: torch.zeros_like(v) for k, v in theta.items()}

    def run(net: nn.Module, values: dict[str, Tensor], prefix: str, x: Tensor):  # type: ignore[no-untyped-def]
        picked = {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
        return functional_call(net, picked, (x,))

    groups = parameter_groups(nn.ModuleList([method.online, method.predictor]), decay)
    optimizer = LARS(groups, lr=lr)
    for step in range(total):
        pair = views(step)
        outcome = method(pair)
        outcome.loss.backward()

        live = {k: v.clone().requires_grad_() for k, v in theta.items()}
        z = [run(online, live, "o.", view)[1] for view in pair]
        with torch.no_grad():
            targets = [run(shell, xi, "", view)[1] for view in pair]
        q = [run(predictor, live, "q.", each) for each in z]
        loss = distance(q[0], targets[1]) + distance(q[1], targets[0])
        gradients = dict(zip(live, torch.autograd.grad(loss, list(live.values())), strict=True))
        assert outcome.loss.item() == pytest.approx(loss.item(), rel=1e-12)

        for name, p in theta.items():
            g = gradients[name]
            if p.ndim > 1:  # in this network exactly the linear and convolution weights
                g = g + decay * p
                g = g * 1e-3 * p.norm() / g.norm()
            buffers[name] = 0.9 * buffers[name] + g
            theta[name] = p - lr * buffers[name]
        tau = 1 - (1 - 0.9) * (math.cos(math.pi * step / total) + 1) / 2
        xi = {k: tau * v + (1 - tau) * theta[f"o.{k}"] for k, v in xi.items()}

        optimizer.step()
        optimizer.zero_grad()
        method.after_step(step, total)
        for name, p in method.online.named_parameters():
            torch.testing.assert_close(p.detach(), theta[f"o.{name}"], rtol=1e-10, atol=1e-12)
        for name, p in method.target.network.named_parameters():
            torch.testing.assert_close(p, xi[name], rtol=1e-10, atol=1e-12)


def test_the_loss_sums_both_views_at_full_scale() -> None:
    """About 4 at the start, within [0, 8]; a halved or averaged loss would be 2 or 1."""
    torch.manual_seed(0)
    method = BYOL(Tiny(), hidden=512, dim=256).double()
    losses = [method(views(seed, 64)).loss.item() for seed in range(5)]
    assert sum(losses) / 5 == pytest.approx(4.0, abs=0.8)


def test_each_view_is_its_own_batch_norm_batch_in_both_networks() -> None:
    method = byol()
    seen: list[tuple[str, Tensor]] = []
    for name in ("online", "target"):
        tower = method.online if name == "online" else method.target.network
        tower.backbone.norm.register_forward_hook(
            lambda m, i, out, name=name: seen.append((name, out.mean((0, 2, 3)).detach()))
        )
    method(views(0))
    assert [name for name, _ in seen].count("online") == 2
    assert [name for name, _ in seen].count("target") == 2
    for _, mean in seen:  # a concatenated batch, or running statistics, would leave a mean
        torch.testing.assert_close(mean, torch.zeros(6, dtype=torch.float64), atol=1e-9, rtol=0)


def test_target_statistics_are_its_own() -> None:
    method = byol()
    for step in range(3):
        method(views(step))
        method.after_step(step, 10)
    norm = method.target.network.backbone.norm
    assert norm.training and norm.num_batches_tracked.item() == 6  # two views, three steps
    method.online.backbone.norm.running_mean.fill_(99.0)
    before = norm.running_mean.clone()
    method.after_step(3, 10)
    assert torch.equal(norm.running_mean, before)


def test_tau_follows_the_optimizer_step() -> None:
    method = byol(tau=0.5)
    with torch.no_grad():
        for p in method.online.parameters():
            p.fill_(1.0)
        for p in method.target.parameters():
            p.fill_(0.0)
    method.after_step(0, 4)
    assert next(method.target.parameters()).flatten()[0].item() == pytest.approx(0.5)
    method.after_step(4, 4)  # tau = 1: nothing moves
    assert next(method.target.parameters()).flatten()[0].item() == pytest.approx(0.5)


def test_only_the_online_side_learns() -> None:
    method = byol()
    method(views(0)).loss.backward()
    assert all(p.grad is None for p in method.target.parameters())
    assert all(p.grad is not None for p in method.online.parameters())
    assert all(p.grad is not None for p in method.predictor.parameters())


def test_observers_get_detached_features_of_the_first_view() -> None:
    method = byol()
    outcome = method(views(0))
    assert not outcome.features.requires_grad and not outcome.embeddings.requires_grad
    features, projection = method.online(views(0)[0])
    torch.testing.assert_close(outcome.features, features.detach())
    torch.testing.assert_close(outcome.embeddings, projection.detach())


def test_the_online_encoder_is_the_product() -> None:
    method = byol()
    assert list(method.encoders) == ["online", "target"]
    assert method.encoders["online"] is method.online.backbone
    assert method.encoders["target"] is method.target.network.backbone


def test_the_target_may_start_on_its_own() -> None:
    torch.manual_seed(1)
    other = Tiny().double()
    method = byol(target=other)
    assert torch.equal(method.target.network.backbone.conv.weight, other.conv.weight)
    assert not torch.equal(
        method.target.network.backbone.conv.weight, method.online.backbone.conv.weight
    )


@pytest.mark.parametrize(
    ("name", "epochs", "base_lr", "decay", "tau", "peak"),
    [  # METHODS.md §1, Optimiser and Target; peaks at batch 4096
        ("paper-40", 40, 0.45, 1e-6, 0.97, 7.2),
        ("paper-100", 100, 0.45, 1e-6, 0.99, 7.2),
        ("paper-300", 300, 0.3, 1e-6, 0.99, 4.8),
        ("paper-1000", 1000, 0.2, 1.5e-6, 0.996, 3.2),
    ],
)
def test_the_papers_presets(  # type: ignore[no-untyped-def]
    name, epochs, base_lr, decay, tau, peak
) -> None:
    p = preset("byol", name)
    assert (p.epochs, p.base_lr, p.weight_decay) == (epochs, base_lr, decay)
    assert (p.batch_size, p.optimizer, p.warmup_epochs) == (4096, "lars", 10)
    options = defaults(BYOL) | dict(p.options)
    assert (options["tau"], options["hidden"], options["dim"]) == (tau, 4096, 256)
    assert p.base_lr * p.batch_size / 256 == pytest.approx(peak)


def test_presets_beside_the_paper() -> None:
    small_batch = PRESETS["byol"]["paper-512"]  # appendix G
    assert (small_batch.batch_size, small_batch.base_lr) == (512, 0.4)
    assert small_batch.options["tau"] == 0.9995
    imagenette = PRESETS["byol"]["imagenette"]  # official README
    assert (imagenette.batch_size, imagenette.base_lr, imagenette.weight_decay) == (256, 2.0, 1e-6)
    with pytest.raises(UsageError, match="paper-40"):
        preset("byol", "paper-50")


@pytest.mark.parametrize("normalise", ["layer", "batch", "none"])
def test_normalise_is_table_20s(normalise: str) -> None:
    """Appendix F.6 through the method: both views' distances after n(x), divided by sqrt(d)."""
    method = byol(normalise=normalise)
    pair = views(3)

    def n(x: Tensor) -> Tensor:
        if normalise == "none":
            return x
        over = 1 if normalise == "layer" else 0
        var, mean = torch.var_mean(x, over, correction=0, keepdim=True)
        return (x - mean) / (var + 1e-5).sqrt() / math.sqrt(5)

    with torch.no_grad():
        q = [method.predictor(method.online(view)[1]) for view in pair]
        z = [method.target(view)[1] for view in pair]
        expected = sum(((n(q[i]) - n(z[1 - i])) ** 2).sum(1).mean() for i in (0, 1))
    torch.testing.assert_close(method(pair).loss, expected)


def test_with_negatives_and_neither_predictor_nor_target_it_is_simclr() -> None:
    """Table 5b's row without all three: 2 alpha times SimCLR's losses of both views, and gradients
    (METHODS.md §1, "none beta 1")."""
    alpha = 0.3
    method = byol(predictor=False, targets="shared", beta=1.0, alpha=alpha).double()
    pair = [view.double() for view in views(0)]
    loss = method(pair).loss
    loss.backward()
    ours = [p.grad.clone() for p in method.online.parameters()]
    method.zero_grad()
    expected = 4 * alpha * nt_xent(*(method.online(view)[1] for view in pair), alpha)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item() + 4, rel=1e-9)
    for gradient, parameter in zip(ours, method.online.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-8, atol=1e-12)
