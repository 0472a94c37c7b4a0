"""The losses: pure functions of tensors, each with its equation."""

from ownlatent.objectives.barlow_twins import barlow_twins
from ownlatent.objectives.byol import byol
from ownlatent.objectives.byol_contrast import byol_contrast
from ownlatent.objectives.dino import dino
from ownlatent.objectives.info_nce import info_nce
from ownlatent.objectives.koleo import koleo
from ownlatent.objectives.mae import mae
from ownlatent.objectives.nt_xent import nt_xent
from ownlatent.objectives.simsiam import simsiam
from ownlatent.objectives.sinkhorn import sinkhorn
from ownlatent.objectives.swav import swav
from ownlatent.objectives.through_both import through_both
from ownlatent.objectives.vicreg import vicreg

__all__ = [
    "barlow_twins",
    "byol",
    "byol_contrast",
    "dino",
    "info_nce",
    "koleo",
    "mae",
    "nt_xent",
    "simsiam",
    "sinkhorn",
    "swav",
    "through_both",
    "vicreg",
]
