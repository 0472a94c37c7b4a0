"""The spectrum: decades are even, zero and NaN are survived, and the count is right."""

import math
import re

from ownlatent.report.spectrum import spectrum


def heights(path: str) -> list[int]:
    """Heights of a path's points, the first of which is met twice."""
    return [1000 - int(y) for _, y in re.findall(r"(-?\d+) (-?\d+)", path)][1:]


def test_each_decade_has_the_same_height() -> None:
    panel = spectrum("S", [("now", "", [1.0, 0.1, 0.01])])
    assert panel is not None
    assert heights(panel.lines[0].path) == [1000, 500, 0]
    assert panel.y_ticks == [(0.0, "0.01"), (50.0, "0.1"), (100.0, "1")]
    assert panel.x_ticks == [(0.0, "1"), (50.0, "2"), (100.0, "3")]


def test_directions_are_counted_from_one_per_cent() -> None:
    panel = spectrum("S", [("now", "", [1.0, 0.5, 0.01, 0.009, 0.0])])
    assert panel is not None and panel.lines[0].last == "3 of 5"


def test_nothing_lies_on_the_floor_and_nan_breaks_the_line() -> None:
    panel = spectrum("S", [("now", "", [1.0, 0.0, math.nan, 1e-30, math.inf])])
    assert panel is not None
    assert panel.y_ticks[0] == (0.0, "1e-6")
    assert panel.lines[0].path.count("M") == 2
    assert [y for y in heights(panel.lines[0].path) if y != 1000] == [0, 0, 0]
    assert "nan" not in repr(panel).lower() and "inf" not in repr(panel).lower()


def test_without_a_positive_number_there_is_no_panel() -> None:
    assert spectrum("S", []) is None
    assert spectrum("S", [("now", "", [math.nan, 0.0]), ("untrained", "before", [])]) is None
