"""Every loss is computed in float32 at least, and mixed precision does not reach its products."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ownlatent import objectives as o

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "barlow_twins": o.barlow_twins,
    "byol": o.byol,
    "byol layer": lambda a, b: o.byol(a, b, normalise="layer"),
    "byol batch": lambda a, b: o.byol(a, b, normalise="batch"),
    "byol none": lambda a, b: o.byol(a, b, normalise="none"),
    "byol_contrast": lambda a, b: o.byol_contrast(a, b, b.flip(1), 0.1),
    "dino": lambda a, b: o.dino(a, b, b[0]),
    "info_nce": lambda a, b: o.info_nce(a, b, 0.1),
    "info_nce queue": lambda a, b: o.info_nce(a, b, 0.1, b.flip(1) / 8),
    "koleo": lambda a, b: o.koleo(a),
    "mae": lambda a, b: o.mae(a.view(16, 4, 16), b.view(16, 4, 16), torch.eye(16, 4).bool()),
    "mae pixels": lambda a, b: o.mae(a[:, None], b[:, None], torch.ones(16, 1).bool(), False),
    "nt_xent": lambda a, b: o.nt_xent(a, b, 0.1),
    "simsiam": o.simsiam,
    "swav": o.swav,
    "vicreg": o.vicreg,
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def pair() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    a = torch.randn(16, 64)
    return a, a + 2 * torch.randn(16, 64)


def test_no_loss_is_missing() -> None:
    apart = {"sinkhorn", "through_both"}  # with files of their own
    named = {name.split()[0] for name in LOSSES} | apart
    assert named == set(o.__all__)
    assert o.__all__ == sorted(o.__all__)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_inputs_are_widened(loss: Loss, dtype: torch.dtype) -> None:
    a, b = (x.to(dtype).requires_grad_() for x in pair())
    value = loss(a, b)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(a.double(), b.double()).item(), rel=1e-5)
    value.backward()
    assert a.grad is not None and a.grad.dtype == dtype


@every_loss
def test_double_stays_double(loss: Loss) -> None:
    a, b = (x.double() for x in pair())
    assert loss(a, b).dtype == torch.float64


@every_loss
def test_autocast_changes_nothing(loss: Loss) -> None:
    a, b = pair()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(a, b)
    assert mixed.dtype == torch.float32
    assert mixed.item() == loss(a, b).item()
