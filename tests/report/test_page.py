"""The page: complete in itself, safe from its own data, and saying what it was given."""

import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ownlatent.report import Report, write_comparison, write_report
from ownlatent.report.map import Map, Tile
from ownlatent.report.mistakes import mistakes
from ownlatent.report.oddities import Oddities
from ownlatent.report.places import Places

EVIL = "<script>alert('x')</script>\"onload=\"y&"


class Page(HTMLParser):
    """Tags with their attributes, and the text outside styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def having(self, css: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if css in (attrs.get("class") or "").split()]


def noise(side: int, count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(side).integers(0, 256, (count, side, side, 3), np.uint8))


def row(features: str, protocol: str, accuracy: float, **more: Any) -> dict[str, Any]:
    return {"features": features, "protocol": protocol, "accuracy": accuracy, **more}


EVALUATION = [
    row("BYOL (online)", "linear probe", 0.5523, low=0.5368, high=0.5676, n_test=4000, seed=0),
    row("random initialisation", "linear probe", 0.4192, n_test=4000, seed=0),
    row("raw pixels", "linear probe", 0.5723, n_test=4000, seed=0),
    row("BYOL (online)", "kNN (k=20, T=0.07)", 0.45, n_test=4000, seed=0),
    row("raw pixels", "kNN (k=20, T=0.07)", 0.392, n_test=4000, seed=1),
]


def verdict(text: str) -> dict[str, Any]:
    measures = {"std": 0.4, "effective_rank": 37.2, "alignment": 0.3, "uniformity": -1.9}
    network = {"features": measures, "embeddings": {**measures, "std": math.nan}}
    spectrum = {"untrained": [1.0, 0.5, 0.1], "now": [1.0, math.nan, 0.01]}
    return {
        "verdict": text, "why": text, "advice": text, "at_chance": text,
        "checks": [{"step": 0, "verdict": "healthy", **network},
                   {"step": 5, "verdict": text, **network}],
        "spectra": {"features": spectrum, "embeddings": spectrum},
    }  # fmt: skip


def full(text: str = "a", side: int = 32) -> Report:
    images = noise(side, 12)
    found = [{"image": image, "similarity": 0.9, "label": text} for image in images[:6]]
    return Report(
        title=text,
        headline=text,
        facts=[(text, text)],
        log=[
            {"step": step, "loss": 1 / step, "tau": 0.99, "lr": 0.1, "probe_accuracy": 0.2,
             "feature_std": 0.1, "effective_rank": 9.0} for step in range(1, 9)
        ],
        evaluation=[*EVALUATION, row(text, text, 0.1)],
        mistakes=mistakes(text, [[0, 0, 3], [0, 1, 1], [1, 1, 2]], [text, text + "2"]),
        elsewhere=[row(text, text, 0.1)],
        places=[Places(text, text, ["features", text], [[text, text]], ["image", text],
                       [[images[0], images[1]]], [(text, "#112233")], (0.5, 2.0))],
        oddities=Oddities(9, [(text, text, text)], 1, [(images[0], images[1], text, 0.99)],
                          [(images[2], text, 0.1)]),
        views=(images, [noise(side, 6)] * 12),
        captions=(text, text, text + "2"),
        neighbours=[{"query": images[0], "query_label": text, "neighbours": found}] * 8,
        verdict=verdict(text),
        map=Map(2, [Tile(1, 1, images[0], text, 0), Tile(1, 2, images[1], text + "2", None),
                    Tile(2, 1, images[2], None, None)], [(text, 1)], 1, 99),
        config={text: {text: [text, 1]}, "b": None},
    )  # fmt: skip


def compared(tmp_path: Path, *reports: Report) -> Page:
    path = write_comparison(tmp_path / "new" / "comparison.html", reports)
    return Page(path.read_text(encoding="utf-8"))


def pair(text: str = "a") -> list[Report]:
    """Two runs that differ in a setting and in a fact, the second without images or verdict."""
    second = Report(title=text + "2", headline=text, log=full(text).log, facts=[(text, text + "2")],
                    evaluation=EVALUATION, config={text: {text: text}})  # fmt: skip
    return [full(text), second]


def written(tmp_path: Path, report: Report) -> Page:
    path = write_report(tmp_path / "new" / "report.html", report)
    assert path == tmp_path / "new" / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_nothing_given_can_become_markup(tmp_path: Path) -> None:
    tame, evil = written(tmp_path, full()), written(tmp_path, full(EVIL))
    shape = [(tag, sorted(attrs)) for tag, attrs in tame.tags]
    assert [(tag, sorted(attrs)) for tag, attrs in evil.tags] == shape
    # Title, headline, fact and its name, features and protocol, label, configuration, verdict with
    # its sentences and its history, the map's legend: as text.
    assert evil.text.count("<script>alert('x')</script>") >= 8 + 6 + 5 + 1 + 16
    titles = {attrs["title"] for _, attrs in evil.tags if "title" in attrs}
    assert titles == {EVIL, EVIL + "2"}

    tame, evil = compared(tmp_path, *pair()), compared(tmp_path, *pair(EVIL))
    shape = [(tag, sorted(attrs)) for tag, attrs in tame.tags]
    assert [(tag, sorted(attrs)) for tag, attrs in evil.tags] == shape
    assert not any(tag == "script" for tag, _ in evil.tags)


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_it_asks_for_nothing_from_outside(tmp_path: Path, kind: str) -> None:
    page = written(tmp_path, full()) if kind == "report" else compared(tmp_path, *pair())
    for _, attrs in page.tags:
        assert "href" not in attrs and "srcset" not in attrs
        if "src" in attrs:
            assert str(attrs["src"]).startswith("data:image/")
        assert "url(" not in (attrs.get("style") or "")
        assert not any(name.startswith("on") for name in attrs)
    assert not any(tag in ("script", "link", "iframe", "object", "base") for tag, _ in page.tags)
    html = (tmp_path / "new" / f"{kind}.html").read_text(encoding="utf-8")
    for outside in ("http:", "https:", "@import", "url("):
        assert outside not in html
    policies = [attrs["content"] for tag, attrs in page.tags if "http-equiv" in attrs]
    assert len(policies) == 1 and "default-src 'none'" in str(policies[0])


def test_every_picture_and_drawing_has_words(tmp_path: Path) -> None:
    page = written(tmp_path, full("boat"))
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert (
        len(images) == 12 * 7 + 8 * 7 + 3 + 2 + 3
    )  # views, neighbours, the map, overlays, oddities
    assert all(attrs["alt"] for attrs in images)
    drawings = [attrs for tag, attrs in page.tags if tag == "svg" and "aria-hidden" not in attrs]
    assert len(drawings) == 6 + 2  # curves, spectra
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawings)


def test_a_page_of_photographs_stays_small(tmp_path: Path) -> None:
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photos = load_sample_images().images  # two of 427 x 640

    def crop() -> np.ndarray:
        top, left = int(rng.integers(0, 427 - 224)), int(rng.integers(0, 640 - 224))
        return photos[int(rng.integers(2))][top : top + 224, left : left + 224]

    report = full(side=8)
    report.views = (list(photos) * 6, [[crop() for _ in range(6)] for _ in range(12)])
    found = [{"image": crop(), "similarity": 0.9, "label": None} for _ in range(6)]
    report.neighbours = [{"query": crop(), "query_label": None, "neighbours": found}] * 8
    path = write_report(tmp_path / "report.html", report)
    assert path.stat().st_size < 1_500_000


def test_big_figures_and_distances(tmp_path: Path) -> None:
    page = written(tmp_path, Report(title="t", headline="h", evaluation=EVALUATION))
    text = page.text
    assert len(page.having("distance")) == 2  # one protocol's baselines, not both
    assert "linear probe 55.2 % 95 % interval 53.7 to 56.8" in text
    assert "kNN (k=20, T=0.07) 45.0 %" in text
    assert "against random initialisation +13.3 points linear probe, 41.9 %" in text
    assert "against raw pixels \N{MINUS SIGN}2.0 points linear probe, 57.2 %" in text


def test_dots_and_intervals_lie_on_the_axis(tmp_path: Path) -> None:
    page = written(tmp_path, Report(title="t", headline="h", evaluation=EVALUATION))
    # The largest number is 57.2 %, so the axis ends at 60 %.
    dots = [attrs["style"] for attrs in page.having("dot")]
    assert dots == [f"left:{round(100 * one['accuracy'] / 0.6, 2)}%" for one in EVALUATION]
    (whisker,) = page.having("whisker")
    low, width = 100 * 0.5368 / 0.6, 100 * (0.5676 - 0.5368) / 0.6
    assert whisker["style"] == f"left:{low:.2f}%;width:{width:.2f}%"


def test_what_a_section_shares_is_said_once(tmp_path: Path) -> None:
    text = written(tmp_path, Report(title="t", headline="h", evaluation=EVALUATION)).text
    assert text.count("scored on 4,000, seed 0") == 1  # linear probe: images and seed
    assert "BYOL (online) seed 0" in text and "raw pixels seed 1" in text  # kNN: the seeds differ


def test_missing_parts_are_left_out(tmp_path: Path) -> None:
    page = written(tmp_path, Report(title="t", headline="only a sentence"))
    assert not {tag for tag, _ in page.tags} & {"section", "table", "svg", "img", "details", "dl"}
    assert "only a sentence" in page.text
    page = written(tmp_path, Report(title="t", headline="h", views=([], []), neighbours=[]))
    assert "img" not in {tag for tag, _ in page.tags}
    assert "section" not in {tag for tag, _ in page.tags}


def test_numbers_that_are_not(tmp_path: Path) -> None:
    log = [{"step": step, "loss": math.nan, "tau": 0.9, "lr": math.inf} for step in (100, 200)]
    evaluation = [row("BYOL", "linear probe", math.nan), row("raw pixels", "linear probe", 0.3)]
    page = written(tmp_path, Report(title="t", headline="h", log=log, evaluation=evaluation))
    assert "The loss was not a finite number at 2 logged steps, first at step 100." in page.text
    html = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert "nan" not in html.split("</style>")[1].lower()
    assert len(page.having("dot")) == 1
    assert page.having("figures") == []


def test_the_verdict_stands_first_and_its_numbers_survive(tmp_path: Path) -> None:
    page = written(tmp_path, Report(title="t", headline="h", verdict=verdict("collapsed")))
    assert page.text.index("✕ collapsed collapsed collapsed") < page.text.index("rests on")
    assert [attrs["class"] for attrs in page.having("badge")] == ["badge bad", "badge good",
                                                                  "badge bad"]  # fmt: skip
    dash = "\N{EN DASH}"
    assert f"Spread 1 spread evenly, 0 all alike 0.40 0.40 {dash} {dash}" in page.text
    html = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert "nan" not in html.split("</style>")[1].lower()


def test_an_old_run_has_no_verdict_to_show(tmp_path: Path) -> None:
    page = written(tmp_path, Report(title="t", headline="h", log=full().log))
    assert "verdict" not in page.text.lower() and page.having("badge") == []


def test_a_comparison_shows_every_run_and_only_what_differs(tmp_path: Path) -> None:
    first, second = full("a"), full("b")
    first.config, second.config = {"lr": 0.1, "seed": 5}, {"lr": 0.2, "seed": 5}
    first.facts = second.facts = [("backbone", "small")]
    page = compared(tmp_path, first, second)
    assert "What differs Only the settings that are not the same in all runs. a b lr 0.1 0.2" in (
        page.text
    )
    assert "seed 5" not in page.text and page.text.count("backbone small") == 1
    drawings = [attrs for tag, attrs in page.tags if attrs.get("role") == "img"]
    assert len(drawings) == 6 + 2
    for drawing in drawings:
        assert {"a", "b"} <= set(re.findall(r"\w+", str(drawing["aria-label"])))
    assert len(page.having("badge")) == 2
    assert len([1 for tag, _ in page.tags if tag == "ol"]) == 2 * 8  # neighbours of each run


def test_runs_scored_on_other_images_are_not_ranked_in_silence(tmp_path: Path) -> None:
    reports = [
        Report(title=name, headline="", evaluation=[row("BYOL", "kNN", 0.5, images=name)])
        for name in "ab"
    ]
    assert "not all scored on the same test images" in compared(tmp_path, *reports).text


@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
def test_numbers_may_come_from_numpy(tmp_path: Path, kind: type) -> None:
    page = written(
        tmp_path, Report(title="t", headline="h", evaluation=[row("BYOL", "kNN", kind(0.5))])
    )
    assert "kNN 50.0 %" in page.text


def test_a_match_is_told_in_words_too(tmp_path: Path) -> None:
    image = noise(8, 1)[0]
    labels = ["cat", "dog", None]
    found = [{"image": image, "similarity": 0.987, "label": label} for label in labels]
    queries = [{"query": image, "query_label": "cat", "neighbours": found}]
    page = written(tmp_path, Report(title="t", headline="h", neighbours=queries))
    assert "same label: cat ✓ 0.99" in page.text
    assert "another label: dog ✕ 0.99" in page.text
    assert len(page.having("same")) == len(page.having("other")) == 1

    queries = [{"query": image, "query_label": None, "neighbours": found}]
    page = written(tmp_path, Report(title="t", headline="h", neighbours=queries))
    assert "label:" not in page.text and page.having("same") == page.having("other") == []


def test_settings_are_nested_as_given(tmp_path: Path) -> None:
    config = {"seed": 0, "optimizer": {"lr": 0.3, "schedule": {"kind": "cosine"}}, "blur": None}
    page = written(tmp_path, Report(title="t", headline="h", config=config))
    assert "seed 0 optimizer lr 0.3 schedule kind cosine blur \N{EN DASH}" in page.text


def test_the_room_is_light_to_enter() -> None:
    code = (
        "import sys, ownlatent.report\n"
        "print([name for name in ('PIL', 'jinja2', 'matplotlib', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
