"""The multi-layer perceptron that BYOL uses as projector and as predictor."""

from torch import nn


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear with bias, batch norm, ReLU, linear without bias, and nothing after.

    ``[B, inputs]`` to ``[B, outputs]``. Unlike SimCLR's head, its output is not normalised
    (BYOL, section 3.3; the missing last bias is the official code's).
    """
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, outputs, bias=False),
    )
