"""The multi-layer perceptron that BYOL uses as projector and as predictor."""

from torch import nn


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear with bias, batch norm, ReLU, linear without bias, and nothing after.

    ``[B, inputs]`` to ``[B, outputs]``. Unlike SimCLR's head its output is not normalised (BYOL,
    section 3.3). The missing last bias and the initialisation, normal with deviation
    1/sqrt(fan-in) cut at two deviations, biases 0, are the official code's.
    """
    first = nn.Linear(inputs, hidden)
    last = nn.Linear(hidden, outputs, bias=False)
    for linear in (first, last):
        std = linear.in_features**-0.5
        nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(first.bias)
    return nn.Sequential(first, nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), last)
