"""Options: texts to values, types, bounds; every mistake is one sentence."""

from typing import Any, Literal

import pytest
import torch
from torch import nn

from ownlatent.errors import UsageError
from ownlatent.methods import METHODS, Method, presets
from ownlatent.methods.options import BOUNDS, defaults, parse, settle
from ownlatent.networks.vit import small_vit


class Mine(Method):
    bounds = {"margin": (-1, 1), "tau": (0.5, 1)}  # noqa: RUF012

    def __init__(
        self,
        backbone: Any,
        *,
        count: int = 3,
        rate: float = 0.5,
        flag: bool = False,
        name: str = "a",
        kind: Literal["l2", "none"] = "l2",
        power: Literal[1, 2] = 2,
        weight: float | Literal["mean"] = 1.0,
        length: int | None = None,
        margin: float = 0.0,
        tau: float = 0.9,
        bare=7,  # type: ignore[no-untyped-def]
        target: nn.Module | None = None,
    ) -> None: ...

    def forward(self, views: list[torch.Tensor]) -> Any: ...


class Needy(Method):
    def __init__(self, backbone: Any, *, width: int) -> None: ...

    def forward(self, views: list[torch.Tensor]) -> Any: ...


def test_settings_are_split_at_the_first_equals_sign() -> None:
    assert parse(["tau=0.9", " queue-start = 3 ", "x=a=b"]) == {
        "tau": "0.9", "queue_start": "3", "x": "a=b",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "says"),
    [(["tau"], "name=value"), (["=3"], "name=value"), (["a=1", "a=2"], "twice")],
)
def test_settings_that_are_none(settings: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        parse(settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("count", "4", 4), ("count", 4.0, 4), ("rate", "1", 1.0), ("rate", 1, 1.0),
        ("rate", "1e-3", 1e-3), ("flag", "True", True), ("flag", "false", False),
        ("flag", True, True), ("name", "b", "b"), ("kind", "none", "none"), ("power", "1", 1),
        ("weight", "mean", "mean"), ("weight", "2", 2.0), ("length", "None", None),
        ("length", None, None), ("length", "5", 5), ("margin", "-0.5", -0.5), ("bare", "8", 8),
    ],
)  # fmt: skip
def test_values(option: str, text: Any, value: Any) -> None:
    settled = settle("mine", Mine, {option: text})[option]
    assert settled == value and type(settled) is type(value)


@pytest.mark.parametrize(
    ("option", "text", "says"),
    [
        ("count", "4.5", "whole number"), ("count", "x", "whole number"), ("count", True, "whole"),
        ("count", "-1", "at least 0"), ("count", str(2**21), "between"),
        ("count", float("inf"), "whole"),
        ("rate", "x", "a number"), ("rate", "nan", "between"), ("rate", "inf", "between"),
        ("rate", "-1", "at least 0"), ("flag", "yes", "true or false"), ("flag", 1, "true or"),
        ("name", 3, "a text"), ("kind", "l1", "l2, none"), ("power", "3", "1, 2"),
        ("weight", "median", "a number"), ("length", "x", "whole"), ("margin", "-2", "at least -1"),
        ("tau", "0.4", "at least 0.5"), ("tauu", "1", "no option 'tauu'.*count"),
        ("target", "x", "no option"), ("backbone", "x", "no option"),
    ],
)  # fmt: skip
def test_mistakes(option: str, text: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        settle("mine", Mine, {option: text})
    message = str(error.value)
    assert option in message and "\n" not in message and message.endswith(".")


def test_an_option_needs_a_default() -> None:
    with pytest.raises(UsageError, match="width of Needy needs a default"):
        defaults(Needy)


@pytest.mark.parametrize("name", METHODS)
def test_defaults_lie_within_their_own_bounds(name: str) -> None:
    known = defaults(METHODS[name])
    assert settle(name, METHODS[name], known) == known
    texts = {option: str(value) for option, value in known.items()}
    assert settle(name, METHODS[name], texts) == known


def test_every_bound_is_of_an_option() -> None:
    assert set(BOUNDS) <= {option for kind in METHODS.values() for option in defaults(kind)}


@pytest.mark.parametrize(
    ("name", "preset"), [(name, preset) for name in METHODS for preset in presets(name)]
)
def test_every_preset_builds(name: str, preset: str) -> None:
    recipe, kind = presets(name)[preset], METHODS[name]
    options = settle(name, kind, defaults(kind) | dict(recipe.options))
    assert options == defaults(kind) | dict(recipe.options)
    make: Any = kind
    with torch.device("meta"):
        method = make(small_vit("small-vit", 3, 32), **options)
    assert next(method.parameters()).is_meta
