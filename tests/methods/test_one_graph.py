"""Methods and views compile to one program each: a break in it costs a GPU its fusions, and the
host the time of going back to Python in the middle of a step."""

import pytest
import torch

from ownlatent.config import Pretrain
from ownlatent.data import decode_canvases, open_source
from ownlatent.training.clock import Clock
from ownlatent.training.feed import Feed
from ownlatent.training.session import prepare

METHODS = ["byol", "simclr", "moco", "moco3", "swav", "simsiam", "barlow-twins", "dino", "vicreg"]


def session(method: str, crops: int):  # type: ignore[no-untyped-def]
    pixels = torch.arange(16 * 3 * 256).remainder(251).view(16, 3, 16, 16).byte()
    config = Pretrain(
        data="x", method=method, size=16, batch_size=16, steps=1, backbone="small-resnet",
        precision="fp32", crops=crops,
    )  # fmt: skip
    return prepare(config, decode_canvases(open_source(pixels)))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_one_graph(method: str) -> None:
    run = session(method, 2 if method in ("swav", "dino") else 0)
    _, views = next(iter(Feed(run, Clock())(0)))
    torch._dynamo.reset()
    found = torch._dynamo.explain(run.method)(views)
    assert (found.graph_count, found.break_reasons) == (1, [])


def test_views_are_one_graph() -> None:
    run = session("byol", 0)
    pixels, sizes, ids = run.samples.batch(torch.arange(16), "cpu")
    torch._dynamo.reset()
    found = torch._dynamo.explain(run.views)(pixels, ids, torch.tensor(0), 0, sizes)
    assert (found.graph_count, found.break_reasons) == (1, [])
