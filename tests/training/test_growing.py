"""Views that grow, and local crops that join later: what a step is given, and what stays exact."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ownlatent as ol
from ownlatent.config import Plan, Pretrain
from ownlatent.errors import UsageError
from ownlatent.training.checkpoint import Checkpoints
from ownlatent.training.clock import Clock
from ownlatent.training.feed import Feed
from ownlatent.training.session import prepare, samples_for

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 24, 24, 3), np.uint8)
OPTIONS: dict[str, Any] = {
    "backbone": "small-resnet", "size": 24, "epochs": 8, "batch_size": 20, "precision": "fp32",
    "set": ("hidden=32", "dim=16"), "crops": 2, "log_every": 1,
}  # fmt: skip


def shapes(**options: Any) -> list[list[int]]:
    """Sides of the views of the first step of each epoch."""
    config = Pretrain(data="array", **OPTIONS | options)
    session = prepare(config, samples_for(config, IMAGES))
    feed, found = Feed(session, Clock()), []
    for step in range(session.plan.total_steps):
        ((_, views),) = feed(step)
        if step % session.plan.steps_per_epoch == 0:
            found.append([view.shape[-1] for view in views])
    return found


def test_what_a_step_is_given() -> None:
    found = shapes(start_size=16, crops_after=0.5)
    # 8 pixels over six of eight epochs, by 4; a local crop has 18/32 of a side.
    assert found[:3] == [[16, 16]] * 3
    assert found[3:4] == [[20, 20]]
    assert found[4:6] == [[20, 20, 11, 11]] * 2
    assert found[6:] == [[24, 24, 14, 14]] * 2


def test_a_smaller_view_shows_the_same_crop() -> None:
    """Of a smooth image the small view is the large one, seen from afar."""
    ramp = np.linspace(0, 255, 24).astype(np.uint8)
    image = np.broadcast_to(ramp[:, None, None], (24, 24, 3))
    images = np.stack([np.ascontiguousarray(image), np.ascontiguousarray(image[::-1])] * 10)
    large, small = [], []
    for found, options in ((large, {}), (small, {"start_size": 16})):
        config = Pretrain(data="array", **OPTIONS | {"crops": 0} | options)
        session = prepare(config, samples_for(config, images))
        found += next(iter(Feed(session, Clock())(0)))[1]
    for one, other in zip(large, small, strict=True):
        seen = torch.nn.functional.interpolate(one, 16, mode="bilinear", antialias=True)
        assert one.std() > 0.5
        assert (seen - other).abs().mean() < 0.05


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    options = OPTIONS | {"start_size": 16, "crops_after": 0.5, "checkpoint_steps": 7, "keep": 3}
    run = ol.pretrain(IMAGES, out=tmp_path / "run", **options)
    checkpoints = Checkpoints(run.folder / "checkpoints")
    ended = checkpoints.load(16)["method"]
    for path in (run.folder / "checkpoints").glob("step-1[46]/state.pt"):
        path.unlink()  # the seventh step is the newest that loads
    ol.resume(run.folder, IMAGES)
    again = checkpoints.load(16)["method"]
    assert all(torch.equal(value, ended[name]) for name, value in again.items())
    assert run.encoder().preprocessing.size == 24


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"start_size": 28}, "cannot grow to 24"),
        ({"start_size": 16, "epochs": 3}, "take 4 or more"),
        ({"start_size": 16, "backbone": "swin_tiny_patch4_window7_224", "size": 224}, "swin_tiny"),
        ({"crops": 0, "crops_after": 0.5}, "no local crops to wait for"),
        ({"crops_after": 0.9}, "of 8 none begins after 90%"),
    ],
)
def test_what_cannot_grow_is_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        ol.pretrain(IMAGES, out=tmp_path / "run", **OPTIONS | options)
    assert not (tmp_path / "run").exists()


def test_rows_do_not_grow(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 4))
    with pytest.raises(UsageError, match="do not grow"):
        ol.pretrain(rows, out=tmp_path / "run", start_size=8, batch_size=20, epochs=8)


def test_a_plan_of_before_goes_on() -> None:
    config = Pretrain(data="array", **OPTIONS)
    plan = prepare(config, samples_for(config, IMAGES)).plan
    stored = {k: v for k, v in plan.as_dict().items() if k not in ("start_size", "crops_after")}
    assert Plan(**stored) == plan
