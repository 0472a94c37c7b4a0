"""What the documents name exists: commands, options, files, headings, pages of the site."""

import contextlib
import inspect
import io
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
import tyro
import yaml

import ownlatent as ol
from ownlatent.cli import Command, main
from scripts import pages

ROOT = Path(__file__).parents[1]

TOP = ("README.md", "CONTRIBUTING.md")
DOCUMENTS = [*(ROOT / name for name in TOP), *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMANDS = {get_args(each)[1].name for each in get_args(Command)}
# options of other programs, and of this repository's scripts
OTHERS = {"--directory", "--nproc-per-node"}


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def fenced_commands() -> list[tuple[str, str]]:
    """(document, command line) of each of ours that stands in a fenced block."""
    found = []
    for document in DOCUMENTS:
        for language, block in FENCED.findall(document.read_text()):
            if language == "text":  # what a command printed
                continue
            for line in block.replace("\\\n", " ").splitlines():
                ours = re.match(r"\s*(?:[A-Z_]+=\S+ )?(?:\S.* -m )?ownlatent( .*)", line)
                if ours and not line.lstrip().startswith("#"):
                    found.append((name(document), ours[1].strip()))
    return found


@pytest.mark.parametrize(("document", "line"), fenced_commands())
def test_commands_in_the_documents_are_understood(document: str, line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if word != "$S"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            tyro.cli(Command, args=words, prog="ownlatent", config=(tyro.conf.OmitArgPrefixes,))
        except SystemExit as stopped:
            assert stopped.code == 0, f"{document}: ownlatent {line}\n{said.getvalue()}"


def test_there_are_commands_to_understand() -> None:
    found = fenced_commands()
    assert len(found) > 40
    assert {document for document, _ in found} >= {"README.md", "docs/evaluation.md"}
    assert {line.split()[0] for _, line in found} >= COMMANDS - {"demo"}


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options of each command, from its help."""
    found = {}
    for command in sorted(COMMANDS):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
            main([command, "--help"])
        found[command] = set(re.findall(r"--[a-z][a-z0-9-]*", said.getvalue()))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_options_in_running_text_exist(document: Path, options: dict[str, set[str]]) -> None:
    scripts = "\n".join(file.read_text() for file in ROOT.glob("benchmarks/**/*.py"))
    known = OTHERS.union(*options.values(), re.findall(r'"(--[a-z][a-z0-9-]*)"', scripts))
    for code in INLINE.findall(FENCED.sub("", document.read_text())):
        given = set(re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", code))
        command = re.match(r"ownlatent ([a-z]+)", code)
        if command:
            assert command[1] in COMMANDS, code
        assert given <= (options[command[1]] if command else known), code


def slugs(text: str) -> set[str]:
    """The anchors of a document's headings, as the forge and the site make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    words = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", each).strip().replace(" ", "-") for each in words}


def test_links_within_the_repository_lead_somewhere() -> None:
    links = 0
    for document in DOCUMENTS:
        for target, anchor in re.findall(
            r"\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]+))?\)", FENCED.sub("", document.read_text())
        ):
            aim = (document.parent / target).resolve() if target else document
            assert aim.exists(), f"{name(document)} links to {target}"
            if anchor and aim.suffix == ".md":
                assert anchor in slugs(aim.read_text()), f"{name(document)}: {target}#{anchor}"
            links += 1
    assert links > 60


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as they are laid together for the site."""
    out = tmp_path_factory.mktemp("pages")
    pages.main(out)
    return out


def test_pages_of_the_site_link_to_each_other(site: Path) -> None:
    for page in site.rglob("*.md"):
        text = FENCED.sub("", re.sub(r"^````.*?^````", "", page.read_text(), flags=re.M | re.S))
        for target in re.findall(r"\]\((?!\w+:|#)([^)\s#]+)", text):
            assert (page.parent / target).is_file(), f"{page.relative_to(site)} to {target}"


def test_every_page_in_the_menu_is_there(site: Path) -> None:
    class Reader(yaml.SafeLoader):
        pass

    Reader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    menu = yaml.load((ROOT / "mkdocs.yml").read_text(), Reader)["nav"]

    def leaves(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        inner = entry.values() if isinstance(entry, dict) else entry
        return [leaf for each in inner for leaf in leaves(each)]  # type: ignore[attr-defined]

    listed = leaves(menu)
    assert len(listed) > 20 and len(set(listed)) == len(listed)
    assert [page for page in listed if not (site / page).is_file()] == []
    ours = {path.relative_to(site).as_posix() for path in site.glob("*.md")}
    ours |= {path.relative_to(site).as_posix() for path in site.glob("tutorials/*.md")}
    assert ours <= set(listed), "a document that the menu does not list"


def test_the_reference_has_every_public_name_and_command(
    site: Path, options: dict[str, set[str]]
) -> None:
    face = (site / "reference" / "ownlatent.md").read_text()
    for public in ol.__all__:
        value = getattr(ol, public)
        if inspect.ismodule(value):
            room = (site / "reference" / f"{public}.md").read_text()
            names = getattr(value, "__all__", None) or [
                each
                for each, thing in vars(value).items()
                if inspect.isfunction(thing) and thing.__module__ == value.__name__
                if not each.startswith("_")
            ]
            missing = [each for each in names if f"heading: {each}\n" not in room]
            assert names and missing == []
        else:
            assert f"heading: {public}\n" in face
    assert "heading: BYOL\n" in (site / "reference" / "methods.md").read_text()
    commands = (site / "reference" / "commands.md").read_text()
    _, *sections = re.split(r"^## ownlatent (\w+)$", commands, flags=re.MULTILINE)
    said = dict(zip(sections[::2], sections[1::2], strict=True))
    assert set(said) == COMMANDS
    for command, text in said.items():
        listed = set(re.findall(r"--[a-z][a-z0-9-]*", "".join(re.findall(r"- \*\*`.*?`", text))))
        assert listed == options[command] - {"--help"}


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ('<a href="https://arxiv.org/abs/2006.07733">', False),  # only where a reader clicks
        ('<script src="assets/bundle.js"></script><img src="../a.png">', False),
        ('<link rel="stylesheet" href="https://example.org/a.css">', True),
        ('<script async src="https://example.org/shim"></script>', True),
        ('<img alt="" src="//example.org/a.png">', True),
    ],
)
def test_a_page_that_would_fetch_from_outside_is_found(
    page: str, found: bool, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(page)
    assert bool(pages.fetched(tmp_path)) is found
