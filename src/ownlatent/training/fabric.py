"""Devices, processes and precision, by Lightning Fabric; we write no launcher."""

import logging
import os
import warnings
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

from ownlatent.errors import UsageError
from ownlatent.networks import shard

_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}


def device(accelerator: str) -> torch.device:
    """The kind of device that ``accelerator`` ("auto", "cpu", "cuda") comes to here.

    Raises:
        UsageError: a GPU is asked for and none is found.
    """
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise UsageError("No GPU is found; take --accelerator cpu, or check the driver.")
    kind = "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    return torch.device(kind)


def processes() -> int:
    """How many processes ``torchrun`` or another launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process's number among them, known before they meet."""
    return int(os.environ.get("RANK", "0"))


def fabric(kind: torch.device, precision: str, sharded: bool = False) -> Fabric:
    """One process on one device, or this process's part of a launched group: DDP, or FSDP where
    networks are to be ``sharded``."""
    world = processes()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    strategy: Any = "auto"
    if sharded:
        strategy = ModelParallelStrategy(
            lambda method, mesh: shard(method, mesh["data_parallel"]),
            data_parallel_size=world,
            tensor_parallel_size=1,
        )
    elif world > 1:
        # Batch-norm statistics span the processes already: nothing is to be broadcast.
        strategy = DDPStrategy(broadcast_buffers=False)
    # Fabric would say the precision, which we say with the rest.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on launchers that we do not use
        made = Fabric(
            accelerator=kind.type,
            devices=local,
            num_nodes=max(world // local, 1),
            strategy=strategy,
            precision=_PRECISION[precision],  # type: ignore[arg-type]
        )
    made.launch()
    return made


def companion_lost(error: BaseException) -> bool:
    """Whether this process failed because another one of its group is no longer there."""
    if processes() == 1:
        return False
    # Gloo has no type of error for it.
    broken = "gloo" in str(error) and ("onnection" in str(error) or "imed out" in str(error))
    return broken or isinstance(error, torch.distributed.DistError)
