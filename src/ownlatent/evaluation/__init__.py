"""What an encoder is worth: kNN, a linear probe, and the baselines beside them."""

from ownlatent.evaluation.features import embed
from ownlatent.evaluation.knn import knn, nearest
from ownlatent.evaluation.linear import linear_probe
from ownlatent.evaluation.protocols import PROTOCOLS
from ownlatent.evaluation.run import evaluate

__all__ = ["PROTOCOLS", "embed", "evaluate", "knn", "linear_probe", "nearest"]
