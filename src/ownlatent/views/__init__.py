"""A batch of canvases to views, on the device."""

from .engine import Views
from .recipe import RECIPES, Recipe, recipes

__all__ = ["RECIPES", "Recipe", "Views", "recipes"]
