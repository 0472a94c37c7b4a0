"""A batch of canvases to views, on the device."""

from ownlatent.views.engine import Views
from ownlatent.views.recipe import RECIPES, Recipe, recipes

__all__ = ["RECIPES", "Recipe", "Views", "recipes"]
