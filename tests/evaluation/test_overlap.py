"""The Jaccard index, against the formula over sets of pixels."""

import numpy as np
import torch

from ownlatent.evaluation.overlap import jaccard


def test_it_is_the_intersection_over_the_union() -> None:
    rng = np.random.default_rng(0)
    a, b, counted = (torch.from_numpy(rng.random((4, 3, 5)) < p) for p in (0.4, 0.6, 0.7))
    for some in (None, counted):
        found = jaccard(a, b, some)
        assert found.shape == (4,) and found.dtype == torch.float64
        for row in range(4):
            held = torch.ones(3, 5).bool() if some is None else some[row]
            left = set(np.flatnonzero((a[row] & held).numpy()))
            right = set(np.flatnonzero((b[row] & held).numpy()))
            assert float(found[row]) == len(left & right) / len(left | right)


def test_empty_masks() -> None:
    none, one = torch.zeros(2, 2).bool(), torch.tensor([[True, False], [False, False]])
    assert float(jaccard(none, one)) == float(jaccard(one, none)) == 0
    assert float(jaccard(one, one)) == 1
    assert float(jaccard(none, none)) == 1
    assert float(jaccard(one, none, ~one)) == 1  # the only pixel does not count


def test_shapes_broadcast() -> None:
    heads, mask = torch.rand(3, 4, 5, 5) < 0.5, torch.rand(3, 1, 5, 5) < 0.5
    assert jaccard(heads, mask).shape == (3, 4)
