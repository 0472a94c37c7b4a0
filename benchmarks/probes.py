"""What a sweep of probes costs, beside one setting and beside scikit-learn's grid.

    python benchmarks/probes.py

20,000 x 512 synthetic features of ten overlapping classes whose columns differ in scale and hang
together, 4,000 more to score on. Times of one run on the same threads, so only ratios are printed.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedShuffleSplit

from ownlatent.evaluation import linear_probe
from ownlatent.evaluation.features import standardise
from ownlatent.evaluation.sgd import sgd_probe

ROWS, TEST, WIDTH, CLASSES = 20_000, 4_000, 512, 10
STRENGTHS = tuple(float(s) for s in np.logspace(-5, 1, 25))


def features(seed: int) -> tuple[torch.Tensor, ...]:
    """Training features and labels, test features and labels."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    labels = torch.randint(CLASSES, (ROWS + TEST,), generator=generator)
    centres = draw(CLASSES, WIDTH) * 0.25
    mixing = draw(WIDTH, WIDTH) / WIDTH**0.5 * torch.logspace(0, -1.5, WIDTH)[:, None]
    x = (centres[labels] + draw(ROWS + TEST, WIDTH)) @ mixing
    return x[:ROWS], labels[:ROWS], x[ROWS:], labels[ROWS:]


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def grid(x: torch.Tensor, y: torch.Tensor, test: torch.Tensor, truth: torch.Tensor) -> float:
    """Accuracy of scikit-learn's, over the same strengths and one held-out fifth."""
    split = StratifiedShuffleSplit(1, test_size=0.2, random_state=0)
    model = LogisticRegressionCV(
        Cs=[1 / (0.8 * ROWS * s) for s in STRENGTHS], cv=split, max_iter=500, tol=1e-4
    )
    fitted, scored = standardise(x, test)
    model.fit(fitted.numpy(), y.numpy())
    return float(model.score(scored.numpy(), truth.numpy()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-grid", action="store_true", help="leave scikit-learn out")
    arguments = parser.parse_args()
    sets = features(arguments.seed)
    linear_probe(*(part[:500] for part in sets), strengths=(0.1,))  # what the first call loads
    sweep, ours = timed(lambda: linear_probe(*sets, strengths=STRENGTHS))
    each = [timed(lambda s=s: linear_probe(*sets, strengths=(s,)))[0] for s in STRENGTHS]
    chosen = each[STRENGTHS.index(ours.strength)]
    print(
        f"25 strengths, over the chosen one alone: x {sweep / chosen:.2f}; over one on average: "
        f"x {sweep * len(each) / sum(each):.2f} ({ours.accuracy:.2%})"
    )
    swept, best = timed(lambda: sgd_probe(*sets))
    single, _ = timed(lambda: sgd_probe(*sets, rates=(best.rate,), decays=(best.decay,)))
    print(f"25 settings of SGD, over the chosen one: x {swept / single:.2f} ({best.accuracy:.2%})")
    if not arguments.without_grid:
        theirs, accuracy = timed(lambda: grid(*sets))
        print(
            f"LogisticRegressionCV over our 25 strengths: x {theirs / sweep:.1f} ({accuracy:.2%})"
        )


if __name__ == "__main__":
    main()
