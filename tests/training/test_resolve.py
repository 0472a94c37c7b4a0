"""What is left open follows from data, preset and machine; contradictions are one sentence."""

import pytest
import torch

from ownlatent.config import Pretrain
from ownlatent.data import Canvases, decode_canvases, open_source
from ownlatent.errors import UsageError
from ownlatent.kinds.images import view_size
from ownlatent.training.resolve import Plan, plan

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def canvases() -> Canvases:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (5120, 3, 8, 8), dtype=torch.uint8)
    return decode_canvases(open_source(images))


def settle(canvases: Canvases, world: int = 1, **options) -> Plan:  # type: ignore[no-untyped-def]
    return plan(Pretrain(data="x", **options), canvases, CPU, world)


def test_the_papers_numbers(canvases: Canvases) -> None:
    p = settle(canvases, preset="paper-300", batch_size=512)
    assert p.lr == pytest.approx(0.3 * 512 / 256)
    assert p.total_steps == 300 * 10 and p.steps_per_epoch == 10
    assert p.warmup_steps == 100
    assert (p.optimizer, p.weight_decay) == ("lars", 1e-6)
    assert (p.options["tau"], p.options["hidden"], p.options["dim"]) == (0.99, 4096, 256)


def test_what_is_asked_comes_before_the_preset(canvases: Canvases) -> None:
    p = settle(
        canvases,
        preset="paper-100",
        batch_size=256,
        base_lr=0.1,
        steps=50,
        set=("tau=0.9", "hidden=32"),
    )
    assert (p.lr, p.total_steps) == (0.1, 50)
    assert (p.options["tau"], p.options["hidden"]) == (0.9, 32)
    assert p.warmup_steps == 5  # a tenth of a short run, not ten epochs


def test_accumulation_leaves_the_learning_rate_and_the_steps(canvases: Canvases) -> None:
    whole, parts = settle(canvases, batch_size=512), settle(canvases, batch_size=512, accumulate=8)
    assert (whole.lr, whole.total_steps) == (parts.lr, parts.total_steps)


def test_small_images_take_the_small_recipe(canvases: Canvases) -> None:
    assert settle(canvases).views == "cifar-byol"
    assert view_size(None, 32) == 32
    assert view_size(None, 500) == 224


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": 6000}, "more than the 5120 images"),
        ({"batch_size": 10, "accumulate": 3}, "cannot be cut"),
        ({"batch_size": 4, "accumulate": 4}, "at least 2"),
        ({"steps": 5, "epochs": 5}, "not both"),
        ({"preset": "papr-100"}, "paper-100"),
    ],
)
def test_contradictions(canvases: Canvases, options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        settle(canvases, **options)


def test_statistics_are_the_datas_own(canvases: Canvases) -> None:
    p = settle(canvases)
    scaled = canvases.pixels.double() / 255
    assert p.mean == pytest.approx(scaled.mean((0, 2, 3)).tolist(), abs=0.01)
    assert p.std == pytest.approx(scaled.std((0, 2, 3)).tolist(), abs=0.01)
