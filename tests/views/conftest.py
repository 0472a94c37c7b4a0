"""Real photos for the tests of the views: the CIFAR-10 sample that the package ships."""

from pathlib import Path

import pytest
import torch

import ownlatent
from ownlatent.data import open_source


@pytest.fixture(scope="session")
def photos():
    """uint8 ``[512, 3, 32, 32]``."""
    folder = Path(ownlatent.__file__).parent / "demo_data"
    source = open_source(folder / "cifar10-test.parquet")
    return torch.stack([torch.from_numpy(source.read(row).copy()) for row in range(512)])


@pytest.fixture(scope="session")
def scene(photos):
    """One larger picture with edges and detail, uint8 ``[3, 256, 320]``: 80 photos in a grid."""
    return photos[:80].view(8, 10, 3, 32, 32).permute(2, 0, 3, 1, 4).reshape(3, 256, 320)
