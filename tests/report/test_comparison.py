"""Several runs on one page: the best first, baselines once, and only what differs."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ownlatent.data.columns import plain_columns
from ownlatent.data.logmel import LogMel
from ownlatent.kinds import KINDS
from ownlatent.preprocessing import Preprocessing
from ownlatent.report import Report
from ownlatent.report.comparison import differing, evaluation, headline, same_images
from ownlatent.report.results import is_baseline


def row(features: str, accuracy: float, protocol: str = "linear probe", **more: Any) -> dict:  # type: ignore[type-arg]
    return {"features": features, "protocol": protocol, "accuracy": accuracy, **more}


def run(title: str, *rows: dict) -> Report:  # type: ignore[type-arg]
    return Report(title=title, headline="", evaluation=rows)


def test_only_settings_that_differ() -> None:
    first = {"asked": {"out": "a", "tau": 0.9, "seed": 0}, "plan": {"mean": [1, 2]}, "x": None}
    second = {"asked": {"out": "b", "tau": 0.99, "seed": 0}, "plan": {"mean": [1, 2]}, "new": 1}
    dash = "\N{EN DASH}"
    assert differing([first, second]) == [
        ("asked \N{RIGHTWARDS ARROW} tau", ["0.9", "0.99"]),
        ("new", [dash, "1"]),
    ]
    assert differing([first, first]) == []


def test_the_best_first_and_a_common_baseline_once() -> None:
    raw = row("raw pixels", 0.3, seed=0)
    reports = [
        run("a", row("BYOL (online)", 0.5), raw, row("random initialisation", 0.41)),
        run("b", row("BYOL (online)", 0.6), raw, row("random initialisation", 0.42)),
        run("c", row("BYOL (online)", math.nan)),
    ]
    assert [(each["features"], each.get("of"), each.get("style")) for each in
            evaluation(reports)] == [
        ("b", None, "run-1"), ("a", None, "run-0"), ("c", None, "run-2"),
        ("raw pixels", "", None),
        ("random initialisation", "of a", None), ("random initialisation", "of b", None),
    ]  # fmt: skip


def test_the_headline_names_the_best_and_says_when_chance_may_explain_it() -> None:
    reports = [
        run("a", row("BYOL", 0.5, low=0.48, high=0.52)),
        run("b", row("BYOL", 0.53, low=0.51, high=0.55)),
    ]
    assert headline(reports) == (
        "Under the linear probe b is right for 53.0% of test images, a for 50.0%. "
        "The intervals of the first two overlap."
    )
    reports[0].evaluation = [row("BYOL", 0.4, low=0.38, high=0.42)]
    assert headline(reports).endswith("a for 40.0%.")
    assert "none of them evaluated" in headline([run("a"), run("b")])
    assert "only a is evaluated" in headline([run("a", row("BYOL", 0.4)), run("b")])


def test_the_headline_takes_a_protocol_that_both_have() -> None:
    reports = [
        run("a", row("BYOL", 0.9), row("BYOL", 0.5, "kNN")), run("b", row("BYOL", 0.6, "kNN"))
    ]  # fmt: skip
    assert headline(reports).startswith("Under the kNN b is right for 60.0%")


def test_the_samples_have_their_own_name() -> None:
    runs = [replace(run(name, row("BYOL", 0.5)), noun="rows") for name in "ab"]
    assert "of test rows" in headline(runs)
    assert "of test samples" in headline([runs[0], replace(runs[1], noun="clips")])


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_learned_nothing_is_a_baseline(kind: str) -> None:
    made = {
        "images": Preprocessing(3, 8, 1.0, (0.5,) * 3, (0.5,) * 3), "audio": LogMel(8000),
        "vectors": plain_columns(np.eye(2)), "text": SimpleNamespace(weights=[1.0]),
    }  # fmt: skip
    name, _ = KINDS[kind].raw(made[kind])
    assert is_baseline(row(name, 0.5))


def test_different_test_images_do_not_compare() -> None:
    a, b, c = (run("r", row("BYOL", 0.4, images=images)) for images in ("x", "x", "y"))
    assert same_images([a, b]) and not same_images([a, c])
    assert same_images([a, run("r")])
