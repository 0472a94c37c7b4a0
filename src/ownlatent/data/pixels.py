"""What a decoded image is here: an array ``[C, H, W]`` of uint8 or uint16."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.unsignedinteger[Any]]


class Header(NamedTuple):
    """What is known of an image before its pixels are decoded, orientation already applied."""

    height: int
    width: int
    channels: int
    bits: int  # per channel: 8 or 16
