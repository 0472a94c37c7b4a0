"""What is taken for what: shares, order, and what a damaged file says."""

import json
from pathlib import Path

import pytest

from ownlatent.errors import UsageError
from ownlatent.report.mistakes import MOST, mistakes, read_mistakes

CELLS = [[0, 0, 6], [0, 2, 3], [0, 5, 1], [2, 2, 4], [5, 0, 4], [5, 5, 12]]


def test_shares_are_of_each_class() -> None:
    found = mistakes("kNN", CELLS, ["a", "b", "c", "d", "e", "f"])
    assert found.classes == ["a", "c", "f"]  # b is nowhere
    assert found.sizes == [10, 4, 16]
    assert found.matrix == [[0.6, 0.3, 0.1], [0, 1, 0], [0.25, 0, 0.75]]
    assert found.worst == [("f", "a", 4, 0.25), ("a", "c", 3, 0.3), ("a", "f", 1, 0.1)]


def test_many_classes_have_no_matrix() -> None:
    found = mistakes("kNN", [[n, (n + 1) % 30, n + 1] for n in range(MOST + 1)], None)
    assert found.matrix == [] and found.worst[0] == ("20", "21", 21, 1.0)


def test_the_linear_probe_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "confusion.json"
    assert read_mistakes(path) is None
    held = {"classes": None, "confusion": {"kNN": [[0, 1, 1]], "linear probe": CELLS}}
    path.write_text(json.dumps(held))
    assert read_mistakes(path) == mistakes("linear probe", CELLS, None)
    path.write_text(json.dumps({"confusion": {"kNN": [[0, 1]]}}))
    with pytest.raises(UsageError, match=r"confusion\.json"):
        read_mistakes(path)
