"""The verdict as shown: what it says, when it changed, and whatever may stand in the file."""

import math
from typing import Any

import pytest

from ownlatent.report.verdict import judge, spectra


def check(step: float, word: str, std: float = 0.5) -> dict[str, Any]:
    return {"step": step, "verdict": word, "features": {"std": std, "effective_rank": 37.26}}


def test_words_differ_by_symbol_or_word_and_tone() -> None:
    words = ("healthy", "dimensional collapse", "collapsed", "at chance", "diverged", "new one")
    badges = [judge({"verdict": word}, []).badge for word in words]  # type: ignore[union-attr]
    assert [badge.word for badge in badges] == list(words)
    assert [badge.tone for badge in badges] == ["good", "doubtful", "bad", "doubtful", "bad",
                                                "unknown"]  # fmt: skip
    assert all(badge.symbol for badge in badges)


def test_a_verdict_lasts_until_the_next_one() -> None:
    checks = [check(0, "healthy"), check(50, "healthy"), check(200, "collapsed"), check(400, "x")]
    judged = judge({"verdict": "x", "checks": checks}, [])
    assert judged is not None
    told = [(s.badge.word, s.first, s.last, s.share) for s in judged.stretches]
    assert told == [("healthy", 0, 50, 50.0), ("collapsed", 200, 200, 50.0), ("x", 400, 400, 0.0)]


def test_one_verdict_throughout_has_no_history() -> None:
    checks = [check(0, "healthy"), check(50, "healthy")]
    judged = judge({"verdict": "healthy", "checks": checks}, [])
    assert judged is not None and judged.stretches == []


def test_the_log_tells_the_history_where_there_are_no_checks() -> None:
    log: list[dict[str, Any]] = [
        {"step": 1, "verdict": "healthy"}, {"step": 2}, {"step": 3, "verdict": "diverged"}
    ]  # fmt: skip
    judged = judge({"verdict": "diverged"}, log)
    assert judged is not None
    assert [stretch.first for stretch in judged.stretches] == [1, 3]


def test_measures_are_those_of_the_first_and_the_latest_check() -> None:
    checks = [check(0, "healthy", 0.41), check(5, "healthy", 9.0), check(10, "healthy", math.nan)]
    judged = judge({"verdict": "healthy", "checks": checks}, [])
    assert judged is not None and judged.when == ["step 0", "step 10"]
    dash = "\N{EN DASH}"
    assert [(name, values) for name, _, values in judged.measures] == [
        ("Spread", ["0.41", dash, dash, dash]),
        ("Effective rank", ["37.3", "37.3", dash, dash]),
    ]


@pytest.mark.parametrize(
    "verdict", [None, {}, [], "healthy", {"verdict": None}, {"verdict": ["healthy"]}]
)
def test_a_file_that_names_no_verdict_is_no_verdict(verdict: Any) -> None:
    assert judge(verdict, []) is None


@pytest.mark.parametrize("odd", [None, "x", 3, math.nan, [1, "y", None], {"now": "z"}])
def test_parts_of_another_kind_are_left_out(odd: Any) -> None:
    keys = ("why", "advice", "at_chance", "checks", "spectra")
    judged = judge({"verdict": "healthy", **dict.fromkeys(keys, odd)}, [])
    assert judged is not None
    assert judged.stretches == [] and judged.measures == [] and judged.spectra == []
    nested = judge({"verdict": "healthy", "checks": [{"step": odd, "features": odd}],
                    "spectra": {"features": {"now": odd, "untrained": odd}}}, [])  # fmt: skip
    assert nested is not None and nested.measures == []


def test_at_chance_is_told_where_it_applies() -> None:
    told = [judge({"verdict": "healthy", "at_chance": each}, []).at_chance  # type: ignore[union-attr]
            for each in ("not applicable", "ln K = 8.006")]  # fmt: skip
    assert told == ["", "ln K = 8.006"]


def test_spectra_of_several_runs_keep_their_places() -> None:
    given = {"spectra": {"features": {"untrained": [1.0], "now": [1.0, 0.5]}}}
    (alone,) = spectra([("a", given)])
    assert [line.name for line in alone.lines] == ["untrained", "now"]
    (both,) = spectra([("a", given), ("b", None), ("c", given)])
    assert [(line.name, line.style) for line in both.lines] == [("a", "run-0"), ("c", "run-2")]
