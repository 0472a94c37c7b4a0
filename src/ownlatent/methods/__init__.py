"""The methods, each one short file, and their papers' recipes."""

from ownlatent.methods.barlow_twins import BarlowTwins
from ownlatent.methods.byol import BYOL
from ownlatent.methods.crops import GLOBAL, mean_over_pairs
from ownlatent.methods.dino import DINO
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.methods.moco import MoCo
from ownlatent.methods.moco3 import MoCo3
from ownlatent.methods.presets import Preset
from ownlatent.methods.queue import Queue
from ownlatent.methods.registry import METHODS, find, preset, presets
from ownlatent.methods.simclr import SimCLR
from ownlatent.methods.simsiam import SimSiam
from ownlatent.methods.swav import SwAV
from ownlatent.methods.vicreg import VICReg

__all__ = [
    "BYOL",
    "DINO",
    "GLOBAL",
    "METHODS",
    "About",
    "BarlowTwins",
    "Method",
    "MoCo",
    "MoCo3",
    "Outcome",
    "Preset",
    "Queue",
    "SimCLR",
    "SimSiam",
    "SwAV",
    "VICReg",
    "find",
    "mean_over_pairs",
    "preset",
    "presets",
]
