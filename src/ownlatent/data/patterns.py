"""Names of shards: folders, brace patterns and URLs."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from ownlatent.errors import UsageError

TAR = ".tar"
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_URL = re.compile("[a-z][a-z0-9+]*://", re.IGNORECASE)
_BRACES = re.compile(r"\{([^{}]+)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST_SHARDS = 1_000_000


def is_url(data: Any) -> bool:
    """Whether ``data`` is an address, as ``https://...`` or ``s3://...``."""
    return isinstance(data, str) and _URL.match(data) is not None


def names_shards(data: Any) -> bool:
    """Whether ``data`` is a ``.tar`` file, a brace pattern or an address: shards, but no folder."""
    if not isinstance(data, str | Path):
        return False
    if is_url(data):
        return True
    text = str(data).lower()
    return text.endswith((TAR, *_PACKED)) and not Path(data).expanduser().is_dir()


def still_there(data: str) -> bool:
    """Whether what ``data`` names may still be opened; of an address only opening it can tell."""
    if is_url(data) or Path(data).expanduser().exists():
        return True
    return names_shards(data) and any(Path(each).expanduser().exists() for each in expand(data))


def absolute(data: str) -> str:
    """The same data as seen from any working directory, where ``data`` names some."""
    if is_url(data) or not still_there(data):
        return data
    path = Path(data).expanduser()
    return str(path.resolve() if path.exists() else path.absolute())  # a pattern is no file


def shard_names(data: str | Path) -> list[str]:
    """The paths or addresses of the shards that ``data`` names, in order.

    Raises:
        UsageError: it names no ``.tar``, or local ones that are not there.
    """
    if is_url(data):
        names = list(expand(str(data)))
        _refuse_packed(names)
        if "?" in str(data):
            raise UsageError(
                f"{data} has a query: shards are known by their addresses, and "
                "signatures change. Give the address alone, and credentials by the environment."
            )
        wrong = next((each for each in names if not each.endswith(TAR)), None)
        if wrong is not None:
            raise UsageError(
                f"{wrong} is no .tar: of what lies behind addresses only shards can be read, such "
                "as https://host/train-{000000..000146}.tar"
            )
        return names
    path = Path(data).expanduser()
    names = [str(path)] if path.exists() else list(expand(str(path)))
    _refuse_packed(names)
    missing = [each for each in names if not Path(each).exists()]
    if len(missing) == len(names):
        first = "" if names == [str(path)] else f": there is no {names[0]}"
        raise UsageError(
            f"{data} {'matches nothing' if first else 'does not exist'}{first}; give shards, such "
            "as train-{000000..000146}.tar"
        )
    if missing:
        raise UsageError(
            f"{len(missing):,} of the {len(names):,} shards of {data} are missing, the first is "
            f"{missing[0]}: fetch them, or name fewer"
        )
    return names


def expand(pattern: str) -> Iterator[str]:
    """``a-{08..10}.{x,y}`` as ``a-08.x``, ``a-08.y``, ``a-09.x`` ...; zeros in front are kept.

    Raises:
        UsageError: a range runs backwards, or there are too many.
    """
    parts = _BRACES.split(pattern)
    choices = [_choices(part, pattern) if n % 2 else [part] for n, part in enumerate(parts)]
    count = 1
    for each in choices:
        count *= len(each)
    if count > _MOST_SHARDS:
        raise UsageError(f"{pattern} names {count:,} shards: give at most {_MOST_SHARDS:,}")
    return ("".join(each) for each in product(*choices))


def _choices(inside: str, pattern: str) -> list[str]:
    numbers = _RANGE.fullmatch(inside)
    if numbers is None:
        if "," not in inside:
            raise UsageError(
                f"{{{inside}}} in {pattern} is no range: write {{000000..000146}} or {{a,b}}"
            )
        return inside.split(",")
    first, last = numbers.groups()
    if int(first) > int(last):
        raise UsageError(f"{{{inside}}} in {pattern} runs backwards: write {{{last}..{first}}}")
    if int(last) - int(first) >= _MOST_SHARDS:
        raise UsageError(f"{{{inside}}} in {pattern} names too many: give at most {_MOST_SHARDS:,}")
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    return [str(number).zfill(width) for number in range(int(first), int(last) + 1)]


def _refuse_packed(names: list[str]) -> None:
    packed = next((each for each in names if each.lower().endswith(_PACKED)), None)
    if packed is not None:
        raise UsageError(
            f"{packed} is compressed, so that no sample can be read by its place: unpack it to a "
            ".tar (images are compressed as they are)"
        )
