"""Networks over tokens: padding and company change nothing, and the pieces are the published."""

import math

import pytest
import torch
from torch import nn

from ownlatent.networks.tokens import (
    TOKEN_NETS,
    TokenTransformer,
    by_length,
    mean_of_there,
    positions,
)

TOKENS = torch.tensor(
    [
        [5, 9, 7, 0, 0, 0],
        [4, 0, 0, 0, 0, 0],
        [3, 2, 8, 6, 5, 4],
        [9, 9, 0, 0, 0, 0],
        [2, 7, 8, 3, 0, 0],
        [6, 5, 4, 3, 2, 0],
    ]
)


@pytest.mark.parametrize("name", TOKEN_NETS)
@pytest.mark.parametrize("training", [False, True])
def test_padding_never_tells(name: str, training: bool) -> None:
    """Nor do the other sentences of the batch, but for batch norm's batch in training."""
    torch.manual_seed(0)
    net = TOKEN_NETS[name](12).train(training)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    # Batch norm over six sentences divides rounding by small deviations.
    close = {"atol": 2e-5 if training else 2e-6, "rtol": 1e-5}
    whole = net(TOKENS)
    wide = net(torch.nn.functional.pad(TOKENS, (0, 11)))
    assert whole.shape == (6, net.num_features)
    torch.testing.assert_close(wide, whole, **close)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    torch.testing.assert_close(net(TOKENS[order]), whole[order], **close)
    if not training or name == "small-transformer":
        for row in range(6):
            length = int((TOKENS[row] > 0).sum())
            alone = net(TOKENS[row : row + 1, :length])
            torch.testing.assert_close(alone, whole[row : row + 1], **close)


def test_what_padding_embeds_is_never_seen() -> None:
    net = TokenTransformer(12).eval()
    before = net(TOKENS)
    with torch.no_grad():
        net.embedding.weight[0] = 1e6
    torch.testing.assert_close(net(TOKENS), before, atol=2e-6, rtol=1e-5)


def test_order_tells_the_transformer_and_not_the_bag() -> None:
    swapped = TOKENS.clone()
    swapped[:, [0, 1]] = TOKENS[:, [1, 0]]
    swapped[1] = TOKENS[1]
    for name, tells in (("small-transformer", True), ("bag", False)):
        torch.manual_seed(1)
        net = TOKEN_NETS[name](12).eval()
        difference = (net(swapped) - net(TOKENS)).detach().abs().amax(1)
        assert (float(difference[0]) > 1e-2) == tells and float(difference[3]) < 1e-5


def test_dropout_tells_two_views_apart_and_follows_the_generator() -> None:
    for build in TOKEN_NETS.values():
        net = build(12).train()
        draws = []
        for seed in (0, 1, 0):
            torch.manual_seed(seed)
            draws.append(net(TOKENS))
        assert torch.equal(draws[0], draws[2])
        assert float((draws[0] - draws[1]).detach().abs().max()) > 1e-2
        assert torch.equal(net.eval()(TOKENS), net(TOKENS))


def test_parts_hold_every_row_once() -> None:
    parts = by_length(TOKENS)
    rows = torch.cat([part for part, _ in parts])
    assert sorted(rows.tolist()) == list(range(6))
    for part, longest in parts:
        assert longest == int((TOKENS[part] > 0).sum(1).max())


def test_layers_do_not_start_as_copies() -> None:
    net = TokenTransformer(12)
    first, second = net.layers[0].linear1.weight, net.layers[1].linear1.weight
    assert not torch.equal(first, second)
    assert len(net.layers) == 4 and net.layers[0].norm_first and net.num_features == 128


def test_positions_are_the_papers() -> None:
    """Vaswani et al. (2017), section 3.5."""
    made = positions(50, 8)
    for place in (0, 1, 49):
        for i in range(4):
            angle = place / 10000 ** (2 * i / 8)
            assert float(made[place, 2 * i]) == pytest.approx(math.sin(angle), abs=1e-5)
            assert float(made[place, 2 * i + 1]) == pytest.approx(math.cos(angle), abs=1e-5)


def test_the_mean_is_over_what_is_there() -> None:
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [float("nan"), 9.0]]])
    absent = torch.tensor([[False, False, True]])
    assert mean_of_there(x, absent).tolist() == [[2.0, 3.0]]
