"""The masked autoencoder against the official code's numbers, and what is refused."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ownlatent.errors import UsageError
from ownlatent.methods import MAE
from ownlatent.networks import backbone, random_order

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "mae.json").read_text()
)["cases"]
OURS = {"_embed": ".embed", "_blocks": ".blocks", "_norm": ".norm", "_pred": ".predict"}


def name(theirs: str) -> str:
    if theirs == "mask_token":
        return "decoder.mask_token"
    for old, new in OURS.items():
        if theirs.startswith(f"decoder{old}"):
            return theirs.replace(f"decoder{old}", f"decoder{new}")
    return f"online.backbone.{theirs}"


def columns_first(places: Tensor) -> Tensor:
    """The official code has the halves of columns and rows the other way round."""
    return places.roll(places.shape[-1] // 2, -1)


@pytest.mark.parametrize("case", CASES, ids=["normalised", "pixels"])
def test_loss_and_gradients_are_the_official_codes(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ownlatent.methods import mae as room
    from ownlatent.networks import masked
    from ownlatent.networks.frozen import sincos

    monkeypatch.setattr(masked, "sincos", lambda *a: columns_first(sincos(*a)).double())
    norm: Any = partial(nn.LayerNorm, eps=1e-6)
    net = VisionTransformer(
        img_size=12, patch_size=4, num_classes=0, embed_dim=16, depth=2, num_heads=2,
        norm_layer=norm, dynamic_img_size=True,
    )  # fmt: skip
    method: Any = MAE(net, normalise=case["normalise"], width=8, depth=1, heads=2).double()
    if case["positions"] is not None:
        expected = torch.tensor(case["positions"])
        torch.testing.assert_close(net.pos_embed[0].float(), expected, rtol=1e-5, atol=1e-6)
    rng, parameters = np.random.default_rng(case["seed"]), dict(method.named_parameters())
    with torch.no_grad():
        for theirs, shape in case["parameters"]:
            drawn = rng.standard_normal(shape) / shape[-1] ** 0.5
            parameters[name(theirs)].copy_(torch.tensor(drawn))
    images = torch.tensor(rng.standard_normal(case["images"]))
    order = torch.tensor(rng.random(case["noise"])).argsort(1)
    monkeypatch.setattr(room, "random_order", lambda *_: order)
    loss = method([images]).loss
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], rel=1e-6)
    for theirs, expected_norm in case["gradient_norms"].items():
        gradient = parameters[name(theirs)].grad
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(expected_norm, rel=1e-5, abs=1e-9), theirs
    assert {n for n, p in parameters.items() if p.requires_grad} == {
        name(theirs) for theirs, _ in case["parameters"]
    }


def test_each_image_has_an_order_of_its_own_and_each_step_another() -> None:
    order = random_order(64, 16, (7, 3), torch.device("cpu"))
    assert torch.equal(order.sort(1).values, torch.arange(16).expand(64, 16))
    assert len({tuple(row.tolist()) for row in order}) == 64
    assert torch.equal(order, random_order(64, 16, (7, 3), torch.device("cpu")))
    # Every bit of the key counts: a seed of torch's CPU generator keeps 32.
    others = [(7, 4), (8, 3), (7 + 2**32, 3)]
    assert not any(torch.equal(order, random_order(64, 16, k, order.device)) for k in others)


def test_masks_follow_the_seed_the_step_and_the_micro_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ownlatent.methods import mae as room

    drawn = []

    def watched(*given: Any) -> Tensor:
        drawn.append(random_order(*given))
        return drawn[-1]

    monkeypatch.setattr(room, "random_order", watched)
    for seed in (0, 1):
        torch.manual_seed(seed)
        net, _ = backbone("small-vit", 3, 16)
        method: Any = MAE(net, width=8, depth=1, heads=2)
        for step in (0, 1):
            method.before_step(step, 10, 0.0)
            for _ in range(2):
                method([torch.zeros(4, 3, 16, 16)])
    assert len({tuple(order.flatten().tolist()) for order in drawn}) == 8


@pytest.mark.parametrize("given", ["small-resnet", "resnet18"])
def test_what_is_no_vit_is_refused(given: str) -> None:
    net, _ = backbone(given, 3, 16)
    with pytest.raises(UsageError, match="patches of a ViT") as error:
        MAE(net)  # type: ignore[call-arg]
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_decoder_that_cannot_be_is_refused() -> None:
    net, _ = backbone("small-vit", 3, 16)
    with pytest.raises(UsageError, match="width 10"):
        MAE(net, width=10)  # type: ignore[call-arg]
