"""Reports of real runs: where images come from, and what pages are written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import ownlatent as ol
from ownlatent.data import as_canvases
from ownlatent.demo import TEST
from ownlatent.report.run import report

OPTIONS = {"backbone": "small-resnet", "size": 16, "batch_size": 32, "hidden": 32, "dim": 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    canvases = as_canvases(TEST, view_size=32)
    assert canvases.labels is not None
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, images=canvases.pixels[:200].numpy(), labels=canvases.labels[:200].numpy())
    return path


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("runs")

    def train(name: str) -> Path:
        if not (folder / name).exists():
            (folder / name).parent.mkdir(exist_ok=True)
            ol.pretrain(data, out=folder / name, steps=2, log_every=1, seed=len(name), **OPTIONS)
        return folder / name

    return train


def test_the_images_are_those_of_the_run(trained: Callable[[str], Path], data: Path) -> None:
    run = trained("one")
    page = report(run)
    assert page == run / "report.html"
    text = page.read_text(encoding="utf-8")
    assert "images laid out by t-SNE" in text and "What it finds alike" in text
    assert report(run, data).read_text(encoding="utf-8") == text
    assert report(run, as_canvases(data, view_size=16)).read_text(encoding="utf-8") == text


def test_images_that_are_gone_are_named(trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = trained("one")
    settings = (run / "config.json").read_text()
    try:
        (run / "config.json").write_text(settings.replace("images.npz", "gone.npz"))
        with pytest.raises(ol.UsageError, match=r"gone\.npz.*--data"):
            report(run)
    finally:
        (run / "config.json").write_text(settings)


def test_a_folder_that_does_not_say_all_is_read_or_refused(
    trained: Callable[[str], Path],
) -> None:
    run = trained("one")
    settings = (run / "config.json").read_text()
    try:
        (run / "config.json").write_text(settings.replace('"reference"', '"preference"'))
        assert report(run).is_file()
        (run / "config.json").write_text(settings.replace('"seed"', '"speed"', 1))
        with pytest.raises(ol.UsageError, match=r"config\.json.*seed"):
            report(run)
    finally:
        (run / "config.json").write_text(settings)


def test_several_runs_become_one_page(
    trained: Callable[[str], Path],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [trained("a/same"), trained("b2/same")]
    monkeypatch.chdir(tmp_path)
    page = report(runs)
    assert page == Path("comparison.html") and page.is_file()
    text = page.read_text(encoding="utf-8")
    assert "a/same" in text and "b2/same" in text and "find alike" not in text
    out = report(runs, data, out=tmp_path / "c.html")
    assert "What they find alike" in out.read_text(encoding="utf-8")
    with pytest.raises(ol.UsageError, match="given twice"):
        report([runs[0], runs[0]])
    with pytest.raises(ol.UsageError, match="at least one run"):
        report([])


def test_a_diverged_run_has_a_report_without_what_needs_features(
    trained: Callable[[str], Path], data: Path
) -> None:
    run = trained("diverged")
    file = run / "encoder/online.safetensors"
    spoilt = {
        k: torch.full_like(v, torch.nan) if v.is_floating_point() else v
        for k, v in load_file(file).items()
    }
    save_file(spoilt, file)
    text = report(run).read_text(encoding="utf-8")
    assert "What the network sees" in text
    assert "What it finds alike" not in text and "t-SNE" not in text


def test_verdict_and_results_are_read_from_the_run(
    trained: Callable[[str], Path], data: Path
) -> None:
    run = trained("judged")
    (run / "verdict.json").write_text('{"verdict": "collapsed", "why": "All alike: 0.01."}')
    ol.evaluate(run, data, protocols=["knn"], baselines=False)
    text = report(run).read_text(encoding="utf-8")
    assert "All alike: 0.01." in text and "kNN (k=20, T=0.07)" in text
    card = (run / "encoder" / "README.md").read_text(encoding="utf-8")
    assert "All alike: 0.01." in card and "kNN (k=20, T=0.07)" in card
