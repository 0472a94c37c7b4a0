"""The map: t-SNE as good as scikit-learn's, the same every time, and a grid that holds it."""

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE, trustworthiness

from ownlatent.report.layout import gridded, tsne
from ownlatent.report.map import KINDS, thumbnails

RNG = np.random.default_rng(0)
DIGITS = load_digits().data[:300].astype(np.float32)


@pytest.fixture(scope="module")
def layout() -> np.ndarray:
    return tsne(DIGITS)


def test_neighbours_are_kept_as_well_as_scikit_learn_keeps_them(layout: np.ndarray) -> None:
    directions = DIGITS / np.linalg.norm(DIGITS, axis=1, keepdims=True)
    theirs = TSNE(init="pca", perplexity=30, random_state=0, n_jobs=1).fit_transform(directions)
    ours, other = (trustworthiness(directions, each, n_neighbors=10) for each in (layout, theirs))
    assert ours > other - 0.005
    assert ours > trustworthiness(directions, directions[:, 2:4], n_neighbors=10) + 0.2


def test_the_same_features_give_the_same_layout(layout: np.ndarray) -> None:
    np.testing.assert_array_equal(tsne(DIGITS), layout)
    # Only directions count: to a power of two the arithmetic is the same.
    np.testing.assert_array_equal(tsne(4 * DIGITS), layout)
    assert layout.shape == (300, 2) and layout[:, 0].std() >= layout[:, 1].std()


def test_cells_are_distinct_inside_the_grid_and_near_the_layout(layout: np.ndarray) -> None:
    side, cells = gridded(layout)
    assert 100 <= len(cells) <= 180
    assert len({(row, column) for row, column, _ in cells}) == len(cells)
    assert len({index for *_, index in cells}) == len(cells)
    low, high = layout.min(axis=0), layout.max(axis=0)
    unit = (layout - (low + high) / 2) / (high - low).max() + 0.5
    for row, column, index in cells:
        assert 0 <= row < side and 0 <= column < side
        x, y = unit[index] * side
        assert abs(x - (column + 0.5)) <= 1.5 + 1e-9
        assert abs(side - y - (row + 0.5)) <= 1.5 + 1e-9  # up is row 0


@pytest.mark.parametrize("count", [8, 9, 40])
def test_few_points_are_nearly_all_shown(count: int) -> None:
    points = tsne(RNG.normal(size=(count, 5)))
    assert np.isfinite(points).all()
    _, cells = gridded(points)
    assert len(cells) >= 0.8 * count


def test_one_dimension_will_do() -> None:
    assert np.isfinite(tsne(np.array([[1.0], [-1.0], [2.0], [-3.0]] * 5))).all()


def image(index: int) -> np.ndarray:
    return np.full((4, 4, 3), index % 256, np.uint8)


def test_tiles_show_their_own_image_and_label() -> None:
    drawn = thumbnails(DIGITS, image, lambda index: f"n{index % 3}")
    assert drawn is not None and drawn.laid_out == 300
    for tile in drawn.tiles:
        index = next(i for i in range(300) if i % 256 == tile.image[0, 0, 0] and
                     f"n{i % 3}" == tile.label)  # fmt: skip
        assert tile.kind == index % 3
    assert min(tile.row for tile in drawn.tiles) == min(tile.column for tile in drawn.tiles) == 1
    assert max(tile.column for tile in drawn.tiles) == drawn.columns
    assert [name for name, _ in drawn.kinds] == ["n0", "n1", "n2"]
    assert sum(count for _, count in drawn.kinds) == len(drawn.tiles)


def test_the_commonest_labels_get_a_colour() -> None:
    names = itertools.cycle(f"{index:02}" for index in range(12))
    labels = dict(zip(range(300), names, strict=False)) | {0: None}
    drawn = thumbnails(DIGITS, image, labels.get)
    assert drawn is not None and len(drawn.kinds) == KINDS
    uncoloured = [tile for tile in drawn.tiles if tile.kind is None and tile.label is not None]
    assert drawn.others == len(uncoloured) > 0


@pytest.mark.parametrize("features", [DIGITS[:7], np.full((50, 4), 0.3), np.full((50, 4), np.nan)])
def test_what_cannot_be_laid_out_is_left_out(features: np.ndarray) -> None:
    assert thumbnails(features, image, lambda _: None) is None
