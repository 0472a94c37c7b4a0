"""Lay the pages of the site together in build/pages, from what the repository already has.

    python scripts/pages.py                # `make docs` builds the site from them
    python scripts/pages.py --check SITE   # and asks whether it would fetch anything

The documents stay where readers of the repository look for them. Here README.md becomes the first
page, links are turned to where their targets stand in the site, what a page links to comes along
(code as a page that shows it), and the reference is written from the package's own names and the
commands' own help.
"""

import contextlib
import inspect
import io
import os
import posixpath
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
OUT = ROOT / "build" / "pages"
TOP = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
PICTURES = {".png", ".svg"}
SHOWN = {".py": "python", ".toml": "toml", ".json": "json", ".sh": "bash", "": "text"}
FENCE = re.compile(r"^ *(```|~~~)")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def main(out: Path = OUT) -> None:
    """Write every page of the site below ``out``."""
    shutil.rmtree(out, ignore_errors=True)
    pages = Pages(ROOT, out)
    for source in (*TOP, *documents(ROOT)):
        pages.place(source)
    pages.finish()
    for name, text in {**python_reference(), "commands.md": command_reference()}.items():
        write(out / "reference" / name, text)
    print(f"{sum(1 for _ in out.rglob('*.md'))} pages in {out}")


def documents(root: Path) -> list[str]:
    """What stands in docs/, from the repository's root."""
    return sorted(
        path.relative_to(root).as_posix()
        for path in (root / "docs").rglob("*")
        if path.suffix in {".md", ".css", *PICTURES}
    )


class Pages:
    """Documents on their way from the repository to the site, and what they link to."""

    def __init__(self, root: Path, out: Path) -> None:
        self.root, self.out = root, out
        self.placed: dict[str, str] = {}
        self.waiting: list[str] = []

    def place(self, source: str) -> str:
        """Where ``source``, a path from the repository's root, stands in the site."""
        if source not in self.placed:
            self.placed[source] = place(source, self.root)
            self.waiting.append(source)
        return self.placed[source]

    def finish(self) -> None:
        """Write every document placed, and those that they bring along."""
        while self.waiting:
            source = self.waiting.pop()
            path, target = self.root / source, self.out / self.placed[source]
            if path.suffix == ".md":
                text = turn_links(path.read_text(), lambda link, here=source: self.turn(here, link))
                write(target, text)
            elif target.suffix == ".md":
                write(target, show(path, source))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)

    def turn(self, source: str, link: str) -> str:
        """``link`` of the document ``source`` as its page in the site must have it."""
        aim = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        if not (self.root / aim).exists():
            raise SystemExit(f"{source} links to {link}, which is not there.")
        return posixpath.relpath(self.place(aim), posixpath.dirname(self.place(source)) or ".")


def place(source: str, root: Path) -> str:
    """The path in the site of a path in the repository."""
    if source in TOP:
        return TOP[source]
    inner = source.removeprefix("docs/")
    if Path(source).suffix in {".md", ".css", *PICTURES}:
        return inner
    return f"{inner.rstrip('/')}/index.md" if (root / source).is_dir() else f"{inner}.md"


def turn_links(text: str, turn: Callable[[str], str]) -> str:
    """``text`` with each relative link outside code turned; what follows # stays."""
    fenced, lines = False, []
    for line in text.splitlines(keepends=True):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            line = LINK.sub(lambda match: turn(match[1]) + (match[2] or ""), line)
        lines.append(line)
    return "".join(lines)


def show(path: Path, source: str) -> str:
    """A page that shows a file, or every file below a folder."""
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix in {".py", ".toml", ".sh"})
    parts = [f"# {source}"]
    for file in files:
        if path.is_dir():
            parts.append(f"## {file.relative_to(path).as_posix()}")
        parts.append(f"````{SHOWN[file.suffix]}\n{file.read_text().rstrip()}\n````")
    return "\n\n".join(parts) + "\n"


def python_reference() -> dict[str, str]:
    """A page for the package's face and one for each of its rooms: every public name."""
    import ownlatent

    rooms = [name for name in ownlatent.__all__ if inspect.ismodule(getattr(ownlatent, name))]
    own = [name for name in ownlatent.__all__ if name not in rooms]
    pages = {"ownlatent.md": reference(ownlatent, own)}
    for room in rooms:
        module = getattr(ownlatent, room)
        pages[f"{room}.md"] = reference(module, public_names(module))
    return pages


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: its ``__all__`` and what it finds by name, else what it defines."""
    if not hasattr(module, "__all__"):
        return [
            name
            for name, value in vars(module).items()
            if inspect.isroutine(value) and value.__module__ == module.__name__ and name[0] != "_"
        ]
    found = [name for name in module.__dir__() if name in getattr(module, "_CLASSES", ())]
    return sorted({*module.__all__, *found}, key=str.lower)


def reference(module: ModuleType, names: list[str]) -> str:
    """The page of a module: its docstring, then each name where it is defined."""
    parts = [f"# {module.__name__}", plain(inspect.getdoc(module) or "")]
    for name in names:
        value = getattr(module, name)
        home = f"{module.__name__}.{name}"
        if inspect.isclass(value) or inspect.isroutine(value):
            home = f"{value.__module__}.{value.__qualname__}"
        parts.append(f"::: {home}\n    options:\n      heading: {name}\n      toc_label: {name}")
    return "\n\n".join(parts) + "\n"


def plain(docstring: str) -> str:
    """A docstring's double backquotes and roles as Markdown has them."""
    return re.sub(r"(?::\w+:)?`+~?\.?([^`]+)`+", r"`\1`", docstring)


def command_reference() -> str:
    """Every command's own help."""
    from typing import get_args

    from ownlatent.cli import Command

    names = [get_args(each)[1].name for each in get_args(Command)]
    parts = ["# Commands", "What each command says of itself when called with `--help`."]
    for name in names:
        parts += [f"## ownlatent {name}", list_options(command_help(name))]
    return "\n\n".join(parts) + "\n"


def command_help(name: str) -> str:
    """The help of one command, in lines as long as they like."""
    from ownlatent.cli import main

    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "1000"
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([name, "--help"])
    os.environ.pop("COLUMNS")
    if before is not None:
        os.environ["COLUMNS"] = before
    return said.getvalue()


def list_options(text: str) -> str:
    """A command's help as Markdown: what it does, then its options, one below the other.

    Within a box or under a ruler an option begins a line, and what is said of it stands beside or
    below it, further in.
    """
    heading = r"^[ ╭─]*(?:positional arguments|options)[ ─╮]*$"
    about, *boxes = re.split(heading, text, flags=re.MULTILINE)
    usage, _, about = about.strip().partition("\n")
    lines = [f"```text\n{_set(usage.removeprefix('usage: '))}\n```", about.strip(), ""]
    for box in boxes:
        for line in box.splitlines():
            line = line.strip("│╰─╯\n").rstrip()
            words = line.strip(" -│╭╰─╮╯")
            if not words or "show this help" in line:
                continue
            if len(line) - len(line.lstrip()) <= 3:  # an option
                option, _, said = line.strip().partition("  ")
                lines.append(f"- **`{_set(option)}`** {_set(said.strip())}".rstrip())
            else:
                lines[-1] += f" {_set(line.strip())}"
    return "\n".join(lines)


def _set(words: str) -> str:
    """Help without what says only that an option may be left out."""
    words = words.replace("{None}|", "").replace("{None,", "{")
    return re.sub(r" \(default: (None)?\)", "", words)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def fetched(site: Path) -> list[str]:
    """What the built pages would fetch from outside by themselves: it should be nothing."""
    outside = re.compile(
        r"""<(?:script|img|iframe|source|link(?![^>]*rel="canonical"))\b[^>]*?\s"""
        r"""(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)"""
    )
    return [
        f"{page.relative_to(site)}: {address}"
        for page in sorted(site.rglob("*.html"))
        for address in outside.findall(page.read_text())
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        raise SystemExit("\n".join(fetched(Path(sys.argv[2]))) or 0)
    main()
