"""The target network: METHODS.md §12, pitfalls 1, 2, 3 and 5."""

import torch
from torch import nn

from ownlatent.networks import EMA


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))


def test_update_is_the_moving_average_of_parameters() -> None:
    online = network()
    target = EMA(online)
    before = [p.clone() for p in target.parameters()]
    with torch.no_grad():
        for p in online.parameters():
            p.add_(torch.randn_like(p))
    target.update(online, 0.9)
    for old, new, now in zip(before, online.parameters(), target.parameters(), strict=True):
        torch.testing.assert_close(now, 0.9 * old + 0.1 * new.detach())


def test_buffers_are_the_targets_own() -> None:
    """Neither averaged nor copied: they come from the target's own train-mode forwards."""
    online = network()
    target = EMA(online)
    x = torch.randn(16, 4)
    online(x)
    online(x)
    target(x + 3)
    own = target.network[1].running_mean.clone()
    target.update(online, 0.5)
    assert torch.equal(target.network[1].running_mean, own)
    assert target.network[1].num_batches_tracked.item() == 1
    # running_mean after one batch is 0.1 of that batch's mean (momentum 0.1, start 0)
    with torch.no_grad():
        hidden = EMA(network()).network[0](x + 3)
    torch.testing.assert_close(own, 0.1 * hidden.mean(0))


def test_target_normalises_by_its_batch() -> None:
    target = EMA(network())
    x = 5 + 3 * torch.randn(64, 4)
    with torch.no_grad():
        hidden = target.network[1](target.network[0](x))
    torch.testing.assert_close(hidden.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    assert target.network.training


def test_no_gradient_and_nothing_to_train() -> None:
    target = EMA(network())
    assert not target(torch.randn(4, 4, requires_grad=True)).requires_grad
    assert not any(p.requires_grad for p in target.parameters())


def test_tiny_updates_are_not_lost() -> None:
    """At tau = 1 - 1e-5 an update vanishes in bf16; the target keeps float32."""
    online = network()
    target = EMA(online)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for p in online.parameters():
            p.add_(1.0)
        for _ in range(100):
            target.update(online, 1 - 1e-5)
    for p, q in zip(online.parameters(), target.parameters(), strict=True):
        assert q.dtype == torch.float32
        assert torch.allclose(p - q, torch.full_like(p, 0.999), atol=1e-4)  # (1 - 1e-5)**100


def test_a_start_of_its_own() -> None:
    online = network()
    torch.manual_seed(1)
    other = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    target = EMA(online, other)
    assert torch.equal(target.network[0].weight, other[0].weight)
    assert not torch.equal(target.network[0].weight, online[0].weight)
