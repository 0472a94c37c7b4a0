"""One row of the tuning table: the demo's pretraining with some settings changed, then its probes.

    python benchmarks/tune.py --steps 1000
    python benchmarks/tune.py --steps 1000 --set base_lr=0.2 tau=0.97
    python benchmarks/tune.py --steps 1500 --set size=16 widths=32,64,128,512 area=0.25,1

A setting is a field of ``ownlatent.config.Pretrain``, an option of the method, one of the network
of both views' recipe (area, jitter, ...); the rest is as in the demo. Every run has its whole
schedule.
"""

import argparse
import ast
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ownlatent.config import Pretrain
from ownlatent.demo import FITTED, OPTIONS, TEST, TRAIN
from ownlatent.evaluation import evaluate
from ownlatent.methods import find
from ownlatent.methods.options import defaults
from ownlatent.networks.resnet import SMALL_RESNETS
from ownlatent.training import pretrain
from ownlatent.views.recipe import RECIPES, Recipe, recipes


def apply(settings: list[str]) -> dict[str, Any]:
    """Change the network and the views in place; what is left are options of ``pretrain``."""
    net, recipe, options = SMALL_RESNETS["small-resnet"], {}, dict(OPTIONS)
    method = next((s.split("=")[1] for s in settings if s.startswith("method=")), "byol")
    if method != "byol":
        del options["set"]  # the demo's own
    for setting in settings:
        name, text = setting.split("=", 1)
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text  # a name, such as an optimizer's
        if name in Pretrain.__dataclass_fields__ or name in defaults(find(method)):
            options[name] = value
        elif name in Recipe.__dataclass_fields__:
            recipe[name] = value
        elif name in ("widths", "residual", "grid"):
            net[name] = value
        else:
            raise SystemExit(f"{name} is no option of the run, the network or the views.")
    if recipe:
        RECIPES["tuned"] = tuple(replace(view, **recipe) for view in recipes("cifar-byol"))
        options["views"] = "tuned"
    return options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    options = apply(arguments.set) | {"steps": arguments.steps, "seed": arguments.seed}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        pretrain(TRAIN, out=out, **options)
        results = evaluate(
            out, TRAIN, test=TEST, limit=FITTED, seed=arguments.seed, baselines=False
        )["results"]
    scores = [f"{100 * result['accuracy']:.1f}" for result in results]
    cells = [" ".join(arguments.set) or "as the demo", arguments.steps, arguments.seed, *scores]
    print("| changed | steps | seed |", " | ".join(r["protocol"] for r in results), "|")
    print("|", " | ".join(map(str, cells)), "|")


if __name__ == "__main__":
    main()
