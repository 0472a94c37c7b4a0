"""Curves: where the line goes, what a gap is, and axes a person can read."""

import itertools
import math
import re

import pytest

from ownlatent.report.axes import Panel, ticks
from ownlatent.report.curves import BUCKETS, curve, curves, not_finite


def points(path: str) -> list[list[tuple[int, int]]]:
    """The strokes of an SVG path made of M and L."""
    strokes = [stroke for stroke in path.split("M") if stroke]
    return [
        [(int(x), int(y)) for x, y in re.findall(r"(-?\d+) (-?\d+)", stroke)] for stroke in strokes
    ]


def alone(log: list[dict[str, float | None]], key: str, title: str) -> Panel | None:
    return curve([("", log)], key, title)


def rows(values: list[float | None], key: str = "loss") -> list[dict[str, float | None]]:
    return [{"step": 10 * (index + 1), key: value} for index, value in enumerate(values)]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.99, 1), (-3, 7), (0.0021, 0.0034), (1, 123456), (5, 5), (0, 0)]
)
def test_ticks_are_round_and_contain_the_range(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 7
    assert marks[0] <= low + 1e-12 and marks[-1] >= high - 1e-12
    step = marks[1] - marks[0]
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert round(mantissa, 6) in (1, 2, 5)
    assert all(round(mark / step, 6) == round(mark / step) for mark in marks)


def test_a_straight_line_is_drawn_straight() -> None:
    drawn = alone(rows([0.0, 1.0, 2.0, 3.0, 4.0]), "loss", "Loss")
    assert drawn is not None
    # The axis runs from 0 to 4 and up is less in SVG; the first point is met twice.
    assert points(drawn.lines[0].path) == [
        [(0, 1000), (0, 1000), (250, 750), (500, 500), (750, 250), (1000, 0)]
    ]
    assert drawn.y_ticks == [(0.0, "0"), (25.0, "1"), (50.0, "2"), (75.0, "3"), (100.0, "4")]
    # Step t lies at (t - 10) / (50 - 10) of the width.
    assert drawn.x_ticks == [(0.0, "10"), (25.0, "20"), (50.0, "30"), (75.0, "40"), (100.0, "50")]
    assert drawn.lines[0].end == (100.0, 100.0)
    assert drawn.lines[0].last == "4.0"


def test_a_number_that_is_not_finite_breaks_the_line() -> None:
    values = [3.0, 2.0, math.nan, math.inf, 1.0, 0.0]
    drawn = alone(rows(values), "loss", "Loss")
    assert drawn is not None
    left, right = points(drawn.lines[0].path)
    assert [x for x, _ in left] == [0, 0, 200]
    assert [x for x, _ in right] == [800, 800, 1000]
    assert "nan" not in repr(drawn).lower() and "inf" not in repr(drawn).lower()
    assert not_finite(rows(values)) == [30, 40]


def test_a_row_without_the_key_does_not_break_the_line() -> None:
    drawn = alone(rows([1.0, None, 3.0]), "loss", "Loss")
    assert drawn is not None
    assert len(points(drawn.lines[0].path)) == 1
    assert not_finite(rows([1.0, None, 3.0])) == []


def test_panels_without_a_finite_number_are_left_out() -> None:
    log = [{"step": step, "loss": math.nan, "tau": 0.99, "lr": None} for step in (1, 2, 3)]
    assert [panel.title for panel in curves([("", log)])] == ["Target momentum τ"]
    assert curves([("", [])]) == curves([]) == []
    assert curves([("", [{"loss": 1.0}])]) == []  # no step, nowhere to put it


def test_a_last_value_that_is_not_finite_is_not_reported_as_the_end() -> None:
    drawn = alone(rows([4.0, 0.0, 2.0, math.nan]), "loss", "Loss")
    assert drawn is not None
    assert drawn.lines[0].last == "2.0"
    assert drawn.lines[0].end == (66.67, 50.0)


def test_a_single_row_is_a_dot_in_the_middle() -> None:
    drawn = alone(rows([0.5]), "loss", "Loss")
    assert drawn is not None
    assert drawn.lines[0].end[0] == 50.0
    assert drawn.x_ticks == [(50.0, "10")]


def test_averaging_keeps_the_spike_in_the_band() -> None:
    values = [1.0] * 10_000
    values[5_000] = 9.0
    drawn = alone(rows(values), "loss", "Loss")
    assert drawn is not None
    (line,) = points(drawn.lines[0].path)
    assert len(line) == BUCKETS + 1
    top = min(y for _, y in points(drawn.lines[0].band)[0])
    (ten,) = [at for at, text in drawn.y_ticks if text == "10"]
    (zero,) = [at for at, text in drawn.y_ticks if text == "0"]
    assert top == pytest.approx(1000 - 10 * (zero + 0.9 * (ten - zero)), abs=1)
    assert min(y for _, y in line) > top + 500  # the mean of 41 or 42 values barely moves
    assert "greatest 9.0" in drawn.summary


def test_no_band_where_every_point_is_drawn() -> None:
    drawn = alone(rows([1.0, 2.0] * (BUCKETS // 2)), "loss", "Loss")
    assert drawn is not None
    assert drawn.lines[0].band == ""


@pytest.mark.parametrize(
    "values", [[0.9996, 0.9999, 1.0], [1e-5, 3e-5, 0.0], [0.3, 0.3], [1e5, 3e5], [0.0, 0.0]]
)
def test_no_two_ticks_read_the_same(values: list[float]) -> None:
    drawn = alone(rows(values), "lr", "Rate") or alone(rows(values, "lr"), "lr", "Rate")
    assert drawn is not None
    texts = [text for _, text in drawn.y_ticks]
    assert len(set(texts)) == len(texts) >= 2
    units = [float(text.replace(",", "")) for text in texts]
    gaps = [second - first for first, second in itertools.pairwise(units)]
    assert gaps == pytest.approx([gaps[0]] * len(gaps))  # rounded labels would not be even


def test_an_accuracy_is_shown_in_per_cent() -> None:
    log = rows([0.1, 0.25, 0.5], "probe_accuracy")
    (panel,) = curves([("", log)])
    assert panel.lines[0].last == "50.0 %"
    assert all(text.endswith(" %") for _, text in panel.y_ticks)


def test_several_runs_share_one_pair_of_axes() -> None:
    logs = [("a", rows([0.0, 1.0])), ("b", rows([math.nan])), ("c", rows([4.0, 3.0, 2.0, 2.0]))]
    drawn = curve(logs, "loss", "Loss")
    assert drawn is not None
    # Steps run from 10 to 40 and values from 0 to 4, over both; b has nothing to draw.
    assert [points(line.path) for line in drawn.lines] == [
        [[(0, 1000), (0, 1000), (333, 750)]],
        [[(0, 0), (0, 0), (333, 250), (667, 500), (1000, 500)]],
    ]
    assert [(line.name, line.style) for line in drawn.lines] == [("a", "run-0"), ("c", "run-2")]
    assert drawn.summary.startswith("Loss: a 0.0 at step 10, 1.0 at step 20; c 4.0 at step 10")
