"""Packages that are installed for one test: a folder on sys.path, as pip would leave it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ownlatent.methods import METHODS


def lay_down(folder: Path, name: str, points: dict[str, str], code: str) -> None:
    """A module called ``name`` and its distribution with entry points."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [f"{key} = {value}\n" for key, value in points.items()]
    (info / "entry_points.txt").write_text("[ownlatent.methods]\n" + "".join(lines))


@pytest.fixture(name="lay_down")
def _lay_down() -> Callable[[Path, str, dict[str, str], str], None]:
    return lay_down


@pytest.fixture
def installed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, dict[str, str], str], None]]:
    """Install a package; afterwards it, and what was put into METHODS, is gone."""
    before, modules = dict(METHODS), set(sys.modules)

    def install(name: str, points: dict[str, str], code: str) -> None:
        folder = tmp_path_factory.mktemp("site")
        lay_down(folder, name, points, code)
        monkeypatch.syspath_prepend(str(folder))

    yield install
    METHODS.clear()
    METHODS.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith("outside"):
            del sys.modules[name]
