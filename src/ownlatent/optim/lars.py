"""Layer-wise adaptive rate scaling, as BYOL and SimCLR use it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LARS(Optimizer):
    """LARS (You et al., 2017) in the form of the official BYOL code.

    Per tensor, with p the weights and g the gradient::

        g <- g + weight_decay * p
        g <- g * trust * |p| / |g|      (ratio 1 where either norm is 0; only if "adapt")
        m <- momentum * m + g
        p <- p - lr * m

    The decay is inside the norm and the rate outside the buffer; there is no epsilon, no clipping,
    no Nesterov. All tensors of a group move in a handful of fused calls and nothing is read back
    from the device.

    Args:
        params: parameters or groups. A group with ``adapt=False`` (biases and normalisation
            parameters) skips the scaling; give it ``weight_decay=0`` too for the paper's rule.
        lr: learning rate.
        momentum: of the buffer.
        weight_decay: L2 penalty.
        trust: the trust coefficient (eta in the paper).
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            for p in parameters:
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            buffers = [self.state[p]["momentum"] for p in parameters]
            updates = tuple(p.grad for p in parameters)
            if group["weight_decay"]:
                updates = torch._foreach_add(updates, parameters, alpha=group["weight_decay"])
            if group["adapt"]:
                updates = torch._foreach_mul(updates, _ratios(parameters, updates, group["trust"]))
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, updates)
            torch._foreach_add_(parameters, buffers, alpha=-group["lr"])
        return loss


def _ratios(
    parameters: list[Tensor], updates: tuple[Tensor, ...], trust: float
) -> tuple[Tensor, ...]:
    """One scalar tensor per parameter, chosen on the device."""
    weights = torch.stack(torch._foreach_norm(parameters))
    gradients = torch.stack(torch._foreach_norm(updates))
    ratios = trust * weights / gradients
    ratios = torch.where((weights > 0) & (gradients > 0), ratios, 1.0)
    return ratios.unbind()
