"""What diagnostics say in the report: pictures only of the images that were looked at."""

import json
from pathlib import Path

import numpy as np
import pytest

from ownlatent.errors import UsageError
from ownlatent.report.oddities import read_oddities

HELD = {
    "data": "one", "features": [40, 8], "rankme": 12.34, "purity": 0.5, "lidar": None,
    "doubles": {"count": 2, "nearest": [["a", "b", 0.999], ["a", "gone", 0.99]]},
    "outliers": [["b", 0.1], ["gone", 0.2]],
}  # fmt: skip


def test_pictures_are_those_of_the_same_data(tmp_path: Path) -> None:
    path, image = tmp_path / "diagnostics.json", np.zeros((2, 2, 3), np.uint8)
    named = {"a": image, "b": image}.get
    assert read_oddities(path, "one", named) is None
    path.write_text(json.dumps(HELD))
    found = read_oddities(path, "one", named)
    assert found is not None and found.count == 2
    assert [pair[2:] for pair in found.doubles] == [("a, b", 0.999)]
    assert [each[1:] for each in found.outliers] == [("b", 0.1)]
    assert [(name, value) for name, _, value in found.measures] == [
        ("RankMe", "12.3"), ("purity, %", "50.0")
    ]  # fmt: skip
    other = read_oddities(path, "another", named)
    assert other is not None and other.doubles == other.outliers == []
    path.write_text(json.dumps({"features": [1]}))
    with pytest.raises(UsageError, match=r"diagnostics\.json"):
        read_oddities(path, "one", named)
