"""Views made for several steps at once are those of each step made alone."""

import pytest
import torch

from ownlatent.config import Pretrain
from ownlatent.data import decode_canvases, open_source
from ownlatent.training import feed
from ownlatent.training.clock import Clock
from ownlatent.training.session import prepare


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("together", [1, 1 << 12, 1 << 20])
def test_no_bit_depends_on_it(
    accumulate: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over three epochs of two and a half batches, from a step in the middle of one."""
    torch.manual_seed(0)
    canvases = decode_canvases(open_source(torch.randint(0, 256, (40, 3, 16, 16)).byte()))
    config = Pretrain(
        data="x", batch_size=16, steps=7, accumulate=accumulate,
        set=("hidden=8", "dim=8"),
        backbone="small-resnet", size=12, precision="fp32",
    )  # fmt: skip
    run = prepare(config, canvases)
    monkeypatch.setattr(feed, "_TOGETHER", together)
    fed = feed.Feed(run, Clock())
    for step in range(1, 7):
        parts = list(fed(step))
        assert len(parts) == accumulate
        for (rows, views), expected in zip(parts, run.batches.rows(step), strict=True):
            assert torch.equal(rows, expected)
            pixels, sizes, ids = canvases.batch(expected, "cpu")
            alone = run.views(pixels, ids, run.batches.epoch(step), 0, sizes)
            assert len(views) == 2
            for view, other in zip(views, alone, strict=True):
                assert torch.equal(view, other)
                assert view.is_contiguous(memory_format=torch.channels_last)
