"""Canvases, uint8 or uint16 ``[B, C, H, W]``, to views, float32 ``[B, C, S, S]``, on the device."""

from ownlatent.views.defaults import SMALL, default_size, default_views
from ownlatent.views.engine import Views
from ownlatent.views.recipe import RECIPES, Recipe, recipes

__all__ = ["RECIPES", "SMALL", "Recipe", "Views", "default_size", "default_views", "recipes"]
