"""The sweep by SGD: one setting of many is what torch's own optimizer makes of it."""

import math

import pytest
import torch
import torch.nn.functional as F

import ownlatent as ol
from ownlatent.evaluation.sgd import fit, sgd_probe


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def test_one_setting_of_several_is_torchs_sgd() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 5, generator=generator)
    y = torch.randint(0, 3, (60,), generator=generator)
    settings = [(0.05, 0.0), (0.2, 0.01)]
    weight, bias = fit(x, y, 3, settings, epochs=4, batch_size=20, seed=1)
    for number, (rate, decay) in enumerate(settings):
        w = torch.zeros(3, 5, requires_grad=True)
        b = torch.zeros(3, requires_grad=True)
        peak = rate * 20 / 256 * math.sqrt(5)
        groups = [{"params": [w], "weight_decay": decay}, {"params": [b], "weight_decay": 0.0}]
        optimizer = torch.optim.SGD(groups, lr=peak, momentum=0.9, nesterov=True)
        order = torch.Generator().manual_seed(1)
        step = 0
        for _ in range(4):
            rows = torch.randperm(60, generator=order)
            for part in rows.split(20):
                for group in optimizer.param_groups:
                    group["lr"] = peak * 0.5 * (1 + math.cos(math.pi * step / 12))
                optimizer.zero_grad()
                F.cross_entropy(F.linear(x[part] / math.sqrt(5), w, b), y[part]).backward()
                optimizer.step()
                step += 1
        torch.testing.assert_close(weight[number], w.detach().T / math.sqrt(5))
        torch.testing.assert_close(bias[number], b.detach())


def test_digits_as_well_as_a_logistic_regression(digits) -> None:
    """scikit-learn's own on these rows: 96.9 % at C = 1."""
    from sklearn.linear_model import LogisticRegression

    x, y = digits
    train, test = slice(0, 1200), slice(1200, None)
    result = sgd_probe(x[train], y[train], x[test], y[test], batch_size=256)
    mean, std = x[train].mean(0), x[train].std(0, correction=0).clamp_min(1e-6)
    z = (x - mean) / std
    z[:, x[train].std(0) < 1e-6] = 0
    theirs = LogisticRegression(max_iter=2000).fit(z[train], y[train]).score(z[test], y[test])
    assert abs(result.accuracy - theirs) < 0.015
    assert len(result.held_out) == 25
    best = max(result.held_out.values())
    assert result.held_out[result.rate, result.decay] == best
    again = sgd_probe(x[train], y[train], x[test], y[test], batch_size=256)
    assert again == result


def test_the_test_set_takes_no_part_in_the_choice(digits) -> None:
    x, y = digits
    options = {"epochs": 5, "rates": (0.01, 0.1), "decays": (0.0,)}
    one = sgd_probe(x[:600], y[:600], x[600:700], y[600:700], **options)
    other = sgd_probe(x[:600], y[:600], -x[700:800], y[700:800], **options)
    assert (one.rate, one.held_out) == (other.rate, other.held_out)


def test_mistakes_are_one_sentence(digits) -> None:
    x, y = digits
    with pytest.raises(ol.UsageError, match="learning rates above 0"):
        sgd_probe(x, y, x, y, rates=())
    with pytest.raises(ol.UsageError, match="weight decays"):
        sgd_probe(x, y, x, y, decays=(-1.0,))
    with pytest.raises(ol.UsageError, match="two classes"):
        sgd_probe(x, torch.zeros_like(y), x, y)
