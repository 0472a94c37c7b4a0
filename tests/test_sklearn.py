"""The scikit-learn transformer: protocol, pipelines, searches, pickles and planted structure."""

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import ownlatent as ol
from ownlatent.config import Pretrain
from ownlatent.data.table import LABEL_NAMES
from ownlatent.sklearn import Encoder

SMALL: dict[str, Any] = {
    "backbone": "mlp-small", "steps": 3, "batch_size": 8, "precision": "fp32",
    "options": {"hidden": 8, "dim": 4},
}  # fmt: skip
TINY: dict[str, Any] = SMALL | {"backbone": "small-resnet", "size": 8}
ROWS = np.random.default_rng(0).normal(size=(40, 5))
IMAGES = np.random.default_rng(1).integers(0, 256, (24, 12, 12, 3), dtype=np.uint8)


@parametrize_with_checks([Encoder(**SMALL)])  # and none is expected to fail
def test_scikit_learns_own_checks(estimator: Encoder, check: Any) -> None:
    check(estimator)


# --- planted structure ----------------------------------------------------------------------------


def rings(draw: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Eight clusters on a circle, classes by turns, each coordinate seen by four noisy columns: no
    line tells the classes apart."""
    cluster = draw.integers(0, 8, count)
    place = np.stack([np.cos(cluster * np.pi / 4), np.sin(cluster * np.pi / 4)], 1)
    return np.repeat(place, 4, axis=1) + 0.1 * draw.normal(size=(count, 8)), cluster % 2


def stripes(draw: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Waves along rows or columns at a random phase: the mean of each class is plain grey."""
    along = draw.integers(0, 2, count)
    x = np.arange(16)[None, :, None] * np.ones((1, 1, 16))
    phase = draw.uniform(0, 2 * np.pi, (count, 1, 1))
    waves = np.sin(2 * np.pi * x / 5 + phase)
    waves = np.where(along[:, None, None] == 1, waves, waves.transpose(0, 2, 1))
    noisy = 128 + 60 * waves + 30 * draw.normal(size=waves.shape)
    return noisy.clip(0, 255).astype(np.uint8), along


def test_a_probe_over_rows_finds_the_clusters_and_nothing_else() -> None:
    draw = np.random.default_rng(0)
    (train, classes), (test, answers) = rings(draw, 400), rings(draw, 200)
    raw = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    assert raw.fit(train, classes).score(test, answers) < 0.65
    settings = SMALL | {"steps": 60, "batch_size": 64}
    encoder = Encoder(**settings)
    pipeline = make_pipeline(encoder, StandardScaler(), LogisticRegression(max_iter=2000))
    assert pipeline.fit(train, classes).score(test, answers) > 0.97
    coins = draw.integers(0, 2, 400)  # what is not in the rows is not in the features
    assert abs(pipeline[1:].fit(encoder.transform(train), coins).score(
        encoder.transform(test), draw.integers(0, 2, 200)) - 0.5) < 0.15  # fmt: skip


def test_a_probe_over_images_finds_the_textures() -> None:
    draw = np.random.default_rng(0)
    (train, classes), (test, answers) = stripes(draw, 160), stripes(draw, 160)
    raw = LogisticRegression(max_iter=2000).fit(train.reshape(160, -1), classes)
    assert raw.score(test.reshape(160, -1), answers) < 0.65
    encoder = Encoder(**TINY | {"size": 16, "steps": 20, "batch_size": 32})
    pipeline = make_pipeline(encoder, StandardScaler(), LogisticRegression(max_iter=2000))
    assert pipeline.fit(train, classes).score(test, answers) > 0.97


# --- what is fitted -------------------------------------------------------------------------------


def test_a_fit_is_the_run_that_pretrain_makes(tmp_path: Path) -> None:
    options = {k: v for k, v in SMALL.items() if k != "options"} | SMALL["options"]
    run = ol.pretrain(ROWS, out=tmp_path / "run", seed=3, **options)
    encoder = Encoder(**SMALL, random_state=3).fit(ROWS)
    features = encoder.transform(ROWS)
    assert features.dtype == np.float32 and features.shape == (40, 128)
    with torch.inference_mode():
        expected = run.encoder().eval()(torch.from_numpy(ROWS)).numpy()
    np.testing.assert_array_equal(features, expected)
    assert [row["loss"] for row in encoder.log_] == [row["loss"] for row in run.log]
    fixed = Encoder.from_run(tmp_path / "run")
    np.testing.assert_array_equal(fixed.transform(ROWS), features)
    again = clone(fixed).fit(ROWS[::-1])  # as a search does; it trains nothing
    np.testing.assert_array_equal(again.transform(ROWS), features)
    with pytest.raises(ValueError, match="5 features"):
        fixed.transform(ROWS[:, :3])
    target = Encoder.from_run(tmp_path / "run", network="target").transform(ROWS)
    assert not np.array_equal(target, features)
    with pytest.raises(ol.UsageError, match="no encoder"):
        Encoder.from_run(tmp_path / "nowhere")


def test_random_state_decides_and_the_callers_generators_stay() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)

    def features(state: Any) -> np.ndarray:
        return Encoder(**SMALL, random_state=state).fit_transform(ROWS)

    one, two = features(1), features(2)
    assert not np.allclose(one, two)
    np.testing.assert_array_equal(one, features(np.int64(1)))
    drawn = [features(np.random.RandomState(7)) for _ in range(2)]
    np.testing.assert_array_equal(*drawn)
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])


def test_a_pickle_needs_no_folder(tmp_path: Path) -> None:
    fitted = [(Encoder(**SMALL).fit(ROWS), ROWS), (Encoder(**TINY).fit(IMAGES), IMAGES)]
    (tmp_path / "fitted.pickle").write_bytes(pickle.dumps(fitted))
    code = (
        "import pickle, numpy as np\n"
        "fitted = pickle.load(open('fitted.pickle', 'rb'))\n"
        "np.savez('features.npz', *[each.transform(data) for each, data in fitted])"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    found = np.load(tmp_path / "features.npz")
    for number, (encoder, data) in enumerate(fitted):
        expected = encoder.transform(data)
        np.testing.assert_allclose(found[f"arr_{number}"], expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_left_or_said_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Encoder(**SMALL).fit(ROWS)
    assert list(tmp_path.iterdir()) == [] and capfd.readouterr() == ("", "")
    with pytest.raises(ol.UsageError, match="batch"):
        Encoder(**SMALL | {"batch_size": 999}).fit(ROWS)
    assert list(tmp_path.iterdir()) == []
    Encoder(**SMALL, out=tmp_path / "kept", verbose=True).fit(ROWS)
    assert (tmp_path / "kept" / "encoder" / "config.json").is_file()
    assert "step 3/3" in capfd.readouterr().err


def test_a_collapse_is_a_warning() -> None:
    """No predictor and a target that is the network itself (METHODS.md §1): all views agree."""
    settings = SMALL | {
        "steps": 150, "base_lr": 0.05, "options": {"predictor": False, "tau": 0.0, "dim": 4},
    }  # fmt: skip
    with pytest.warns(ConvergenceWarning, match="collaps"):
        encoder = Encoder(**settings).fit(ROWS)
    assert "collaps" in encoder.verdict_


# --- what it takes --------------------------------------------------------------------------------


def test_paths_give_what_their_pixels_give(tmp_path: Path) -> None:
    paths = []
    for number, image in enumerate(IMAGES):
        paths.append(tmp_path / f"{'ab'[number % 2]}" / f"{number:02}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(paths[-1])
    encoder = Encoder(**TINY).fit(IMAGES)
    expected = encoder.transform(IMAGES)
    some = [paths[5], paths[0], paths[5]]  # in any order, and twice
    for given in (some, list(map(str, some)), np.array(list(map(str, some))), np.array(some)):
        np.testing.assert_array_equal(encoder.transform(given), expected[[5, 0, 5]])
    folder = encoder.transform(tmp_path)
    order = np.argsort([str(path) for path in paths])
    np.testing.assert_array_equal(folder, expected[order])
    alike = [
        Encoder(**TINY).fit_transform(given) for given in ([paths[i] for i in order], tmp_path)
    ]
    np.testing.assert_array_equal(*alike)
    (tmp_path / "a" / "00.png").write_bytes(b"no image")
    with pytest.raises(ol.UsageError, match=r"00\.png"):
        encoder.transform(paths)


def test_layouts_of_images_agree() -> None:
    encoder = Encoder(**TINY).fit(IMAGES)
    first = encoder.transform(IMAGES)
    np.testing.assert_array_equal(encoder.transform(IMAGES.transpose(0, 3, 1, 2)), first)
    deep = IMAGES.astype(np.uint16) * 257  # the same shares of the brightest value
    np.testing.assert_allclose(encoder.transform(deep), first, rtol=1e-4, atol=1e-5)
    grey = Encoder(**TINY).fit(IMAGES[..., 0])
    assert grey.transform(IMAGES[..., 0]).shape == (24, first.shape[1])
    again = Encoder(**TINY | {"backbone": None, "size": None}).fit(ROWS)
    assert again.n_features_in_ == 5
    assert not hasattr(again.set_params(**TINY).fit(IMAGES), "n_features_in_")


def test_frames_are_tables_whose_every_column_counts() -> None:
    names = ["a", "b", "c", "d", LABEL_NAMES[0]]  # elsewhere this one would be the labels
    frame = pa.table({name: ROWS[:, place] for place, name in enumerate(names)})
    encoder = Encoder(**SMALL).fit(frame)
    assert list(encoder.feature_names_in_) == names
    plain = Encoder(**SMALL).fit_transform(ROWS)
    np.testing.assert_array_equal(encoder.transform(frame), plain)
    with pytest.raises(ValueError, match="same order"):
        encoder.transform(frame.select(names[::-1]))
    with_texts = frame.append_column("kind", pa.array(["x", "y"] * 20))
    assert Encoder(**SMALL).fit_transform(with_texts).shape == (40, 128)


def test_missing_values_are_the_mean() -> None:
    holes = ROWS.copy()
    holes[3, 2] = np.nan
    encoder = Encoder(**SMALL).fit(holes)
    filled = holes.copy()
    filled[3, 2] = np.nanmean(holes[:, 2])
    np.testing.assert_allclose(encoder.transform(holes), encoder.transform(filled), atol=1e-5)
    with pytest.raises(ValueError, match="infinity"):
        encoder.transform(np.full((2, 5), np.inf))


def test_output_as_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, columns=list("abcde"), index=range(100, 140))
    encoder = Encoder(**SMALL).set_output(transform="pandas").fit(frame)
    found = encoder.transform(frame)
    assert list(found.columns[:2]) == ["encoder0", "encoder1"]
    assert list(found.index) == list(frame.index)
    assert list(encoder.feature_names_in_) == list("abcde")
    np.testing.assert_array_equal(found, Encoder(**SMALL).fit_transform(ROWS))
    with pytest.raises(ValueError, match="feature names"):
        encoder.transform(frame[list("edcba")])


def test_names_of_features() -> None:
    encoder = Encoder(**SMALL)
    with pytest.raises(NotFittedError):
        encoder.transform(ROWS)
    names = encoder.fit(ROWS).get_feature_names_out()
    assert len(names) == 128 and names[-1] == "encoder127"


# --- searches -------------------------------------------------------------------------------------


def test_a_search_tries_what_it_is_told() -> None:
    rows, classes = rings(np.random.default_rng(2), 60)
    pipeline = make_pipeline(Encoder(**SMALL), LogisticRegression())
    grid = {
        "encoder__steps": np.array([1, 2]),  # NumPy's numbers, as grids often are
        "encoder__options": [{"hidden": 8, "dim": 4}, {"hidden": 8, "dim": 4, "tau": 0.5}],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(rows, classes)
    assert len(search.cv_results_["params"]) == 4
    best = search.best_estimator_[0]
    assert best.log_[-1]["step"] == search.best_params_["encoder__steps"]


def test_folds_of_paths(tmp_path: Path) -> None:
    images, classes = stripes(np.random.default_rng(3), 24)
    paths = [tmp_path / f"{number}.png" for number in range(24)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    pipeline = make_pipeline(Encoder(**TINY), LogisticRegression())
    assert cross_val_score(pipeline, paths, classes, cv=2, error_score="raise").shape == (2,)


def test_a_wrong_setting_is_a_sentence() -> None:
    with pytest.raises(ol.UsageError, match="byol"):
        Encoder("byoll").fit(ROWS)
    with pytest.raises(ol.UsageError, match="'taw'"):
        Encoder(**SMALL | {"options": {"taw": 0.9}}).fit(ROWS)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ownlatent.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ol.UsageError, match=r"pip install 'ownlatent\[sklearn\]'"):
        ol.__getattr__("sklearn")


def test_every_option_of_pretraining_is_a_parameter() -> None:
    """Or is known not to be: what scikit-learn calls otherwise, and what a run folder is for."""
    otherwise = {"data", "out", "set", "seed", "label", "labelled", "track"}
    folder = {"checkpoint_minutes", "checkpoint_steps", "keep"}
    rare = {"reference", "frozen_patches", "target_start", "shard"}
    fields = set(Pretrain.__dataclass_fields__)
    assert fields - set(Encoder().get_params()) - otherwise - folder - rare == set()
