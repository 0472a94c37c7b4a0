"""Which views are made where nobody says."""

import pytest

from ownlatent.methods.presets import PRESETS
from ownlatent.views import RECIPES, SMALL, default_size, default_views

FAMILIES = sorted({preset.views for rows in PRESETS.values() for preset in rows.values()})

# solo-learn, scripts/pretrain/cifar: asymmetric for BYOL, MoCo v3, Barlow Twins and DINO, symmetric
# for SimCLR and SwAV, and its weak form for MoCo.
SOLO = {
    "byol": "cifar-byol",
    "moco3": "cifar-byol",
    "barlow-twins": "cifar-byol",
    "dino": "cifar-byol",
    "dino-resnet": "cifar-byol",
    "simclr": "cifar-simclr",
    "swav": "cifar-simclr",
    "mae": "cifar-mae",  # ours: it has no colours to leave out
    "moco1": "cifar-moco2",
    "moco2": "cifar-moco2",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_small_images_take_a_cifar_form_of_the_family(family):
    for size in (20, 32, SMALL):
        assert default_views(size, family) == SOLO[family]
    assert SOLO[family] in RECIPES


@pytest.mark.parametrize("family", FAMILIES)
def test_large_images_take_the_papers(family):
    for size in (SMALL + 1, 224):
        assert default_views(size, family) == family
    assert family in RECIPES


def test_nothing_in_a_small_form_blurs():
    """A radius of 1 pixel at 32: published CIFAR runs leave it out."""
    for name, views in RECIPES.items():
        assert any(recipe.blur for recipe in views) != (
            name.startswith("cifar-") or name in ("moco1", "mae")
        )


def test_small_images_keep_their_size():
    assert [default_size(side) for side in (8, 32, 64, 65, 500)] == [8, 32, 64, 224, 224]
