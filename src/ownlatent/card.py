"""The encoder's model card: what it is, how to use it, and the evidence, in plain Markdown."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ownlatent.methods.registry import title as spoken

_PLAN = (  # key in the plan, how it is called, how it is written
    ("views", "views", "{}"),
    ("size", "view size", "{} pixels"),
    ("total_steps", "optimizer steps", "{:,}"),
    ("batch_size", "batch size", "{:,}"),
    ("accumulate", "micro-batches per step", "{}"),
    ("optimizer", "optimizer", "{}"),
    ("lr", "peak learning rate", "{:g}"),
    ("weight_decay", "weight decay", "{:g}"),
    ("crops", "local crops", "{}"),
    ("precision", "precision", "{}"),
)


class _Words(NamedTuple):
    """How a card speaks of one kind of data."""

    many: str
    one: str
    call: str
    task: str = ""
    """Hugging Face's name for it, where there is one."""


_WORDS = {
    "images": _Words(
        "images",
        "an image",
        "encoder([image])  # PIL images, or uint8 [B, C, H, W]",
        "image-feature-extraction",
    ),
    "audio": _Words(
        "clips",
        "a sound",
        "encoder(clips)  # samples [B, T] at the encoder's rate, or log-mels [B, 1, F, T]",
    ),
    "text": _Words(
        "sentences", "a sentence", 'encoder(["a sentence", "another"])', "sentence-similarity"
    ),
    "vectors": _Words(
        "rows", "a row of a table", "encoder(table)  # a DataFrame, a file, or an array [B, C]"
    ),
}


def write_card(run: str | Path) -> Path:
    """Write ``encoder/README.md`` from what the run's folder holds.

    It is made of ``encoder/config.json``, and of ``config.json``, ``verdict.json`` and
    ``evaluation.json`` as far as they are there; what is missing is left out. The front matter is
    Hugging Face's. It names no licence: that is for whoever owns the images and the weights.

    Returns:
        the path of the card.
    """
    run = Path(run)
    path = run / "encoder" / "README.md"
    fresh = path.with_suffix(".md.tmp")
    fresh.write_text(card(_read(run / "encoder/config.json"), run), "utf-8")
    fresh.replace(path)
    return path


def card(
    encoder: Mapping[str, Any],
    run: Path | None,
    *,
    title: str | None = None,
    network: str | None = None,
    library: str = "ownlatent",
    license: str | None = None,
    use: str | None = None,
) -> str:
    """The page itself.

    Args:
        encoder: the ``config.json`` of the encoder's folder.
        run: the run's folder, as far as there is one.
        title: [the folder's name]
        network: the one that is there, where not all are.
        library: that loads it.
        license: of the weights, as Hugging Face calls it.
        use: Python that loads it. [as ownlatent does]
    """
    folder = run or Path()  # where there is no run, none of its files
    held = {
        name: _read(folder / f"{name}.json") if run else {}
        for name in ("config", "verdict", "evaluation")
    }
    config, verdict, evaluation = held.values()
    provenance = _part(encoder, "provenance")
    asked, plan = _part(config, "asked"), _part(config, "plan") or _part(provenance, "plan")
    method = str(provenance.get("method") or asked.get("method") or "an unknown method")
    backbone = str(encoder.get("backbone", "backbone"))
    words = _WORDS.get(str(_part(encoder, "preprocessing").get("kind")), _WORDS["images"])
    sections = (
        _front(method, words, library, license),
        _what(title or folder.resolve().name, method, backbone, encoder, network, words),
        _use(encoder, words) if use is None else f"## Use\n\n```python\n{use}\n```",
        _verdict(verdict),
        _metrics(evaluation, words, rewritten=use is None),
        _data(_part(config, "data") or _part(provenance, "data"), words),
        _recipe(method, backbone, asked, plan, provenance),
        _table("Versions", _part(config, "versions") or _part(provenance, "versions")),
        _limits(evaluation, words),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _front(method: str, words: "_Words", library: str, license: str | None) -> str:
    tags = ["self-supervised-learning", *([words.task] if words.task else [])]
    if re.fullmatch(r"[a-z0-9-]+", method):
        tags.append(method)
    pipeline = [f"pipeline_tag: {words.task}"] if words.task else []
    licence = [f"license: {license}"] if license else []
    lines = ["---", f"library_name: {library}", *licence, *pipeline, "tags:"]
    return "\n".join([*lines, *(f"- {tag}" for tag in tags), "---"])


def _what(
    title: str,
    method: str,
    backbone: str,
    encoder: Mapping[str, Any],
    network: str | None,
    words: "_Words",
) -> str:
    features = encoder.get("num_features")
    length = f" of {features:,} numbers" if isinstance(features, int) else ""
    networks = [_plain(name) for name in ([network] if network else _rows(encoder.get("networks")))]
    held = f" It holds the {' and '.join(networks)} network{'s' * (len(networks) > 1)}."
    return (
        f"# {_plain(title)}\n\n"
        f"An encoder of {words.many}: `{_code(backbone)}`, pretrained without labels by "
        f"{_plain(spoken(method))}. It turns {words.one} into a vector{length}."
        + (held if networks else "")
    )


def _use(encoder: Mapping[str, Any], words: "_Words") -> str:
    settings = _part(encoder, "preprocessing")
    shape = ""
    if {"channels", "size"} <= settings.keys():
        shape = (
            f"\n\nImages may have any size and are brought to {_plain(settings['size'])} pixels; "
            f"they have {_plain(settings['channels'])} channel(s). Preprocessing is part of the "
            "encoder."
        )
    return (
        "## Use\n\n```python\nimport ownlatent as ol\n\n"
        'encoder = ol.load_encoder("path/to/this/folder")\n'
        f"features = {words.call}\n```" + shape
    )


def _verdict(verdict: Mapping[str, Any]) -> str:
    if not verdict.get("verdict"):
        return ""
    said = [f"**{_plain(verdict['verdict'])}**", _plain(verdict.get("why") or "")]
    said.append(_plain(verdict.get("advice") or ""))
    return "## Verdict without labels\n\n" + " ".join(part for part in said if part)


def _metrics(evaluation: Mapping[str, Any], words: "_Words", rewritten: bool) -> str:
    results = [row for row in _rows(evaluation.get("results")) if isinstance(row, Mapping)]
    if not results:
        then = ": `ownlatent evaluate` measures it and rewrites this page" if rewritten else ""
        return f"## Metrics\n\nNot evaluated yet{then}."
    lines = [
        "| features | protocol | accuracy | 95 % interval | fitted on | scored on | seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results:
        interval = f"{_percent(row.get('low'))} to {_percent(row.get('high'))}"
        cells = (
            _plain(row.get("features", "")),
            _plain(row.get("protocol", "")),
            _percent(row.get("accuracy")),
            interval,
            _count(row.get("n_train")),
            _count(row.get("n_test")),
            _plain(row.get("seed", "")),
        )
        lines.append(f"| {' | '.join(cells)} |")
    details: dict[str, list[str]] = {}
    for row in results:
        if row.get("details"):
            details.setdefault(str(row["details"]), []).append(_plain(row.get("features", "")))
    notes = "\n".join(f"- {', '.join(of)}: {_plain(detail)}" for detail, of in details.items())
    seen = _part(evaluation, "data").get("test_images_in_train") or 0
    careful = f"\n\nCareful: {_count(seen)} test {words.many} also occur in the training data."
    return (
        "## Metrics\n\nIn per cent of what was scored on. *Random initialisation* (the same "
        "network, "
        "untrained) and the raw data are there to compare with.\n\n"
        + "\n".join(lines)
        + (f"\n\nProtocols:\n\n{notes}" if notes else "")
        + (careful if seen else "")
    )


def _data(data: Mapping[str, Any], words: "_Words") -> str:
    if not data:
        return ""
    skipped = _rows(data.get("skipped"))
    rows = {
        words.many: _count(data.get("images")),
        "held as": data.get("summary"),
        "fingerprint": data.get("fingerprint"),
        "unreadable and skipped": f"{len(skipped):,}" if "skipped" in data else None,
    }
    return _table("Training data", rows)


def _recipe(
    method: str,
    backbone: str,
    asked: Mapping[str, Any],
    plan: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> str:
    rows = {
        "method": method,
        "preset": asked.get("preset"),
        "backbone": backbone,
        "started from": asked.get("init"),
        **{called: _formed(form, plan.get(key)) for key, called, form in _PLAN},
        **{f"{method}: {name}": value for name, value in _part(plan, "options").items()},
        "seed": provenance.get("seed", asked.get("seed")),
    }
    return _table("Recipe", rows)


def _limits(evaluation: Mapping[str, Any], words: "_Words") -> str:
    measured = (
        f"The figures above hold for the {words.many} and protocols named there"
        if evaluation.get("results")
        else "Nothing has been measured yet"
    )
    return (
        "## Intended use and limits\n\n"
        f"These features are meant for search, clustering and small classifiers on {words.many} "
        "like those it was trained on. "
        f"{measured}; for other {words.many}, and for what the training {words.many} lack or "
        "over-represent, expect worse, and measure before you rely on it."
    )


def _table(title: str, rows: Mapping[str, Any]) -> str:
    given = [(name, value) for name, value in rows.items() if value not in (None, "")]
    if not given:
        return ""
    lines = "\n".join(f"| {_plain(name)} | {_plain(value)} |" for name, value in given)
    return f"## {title}\n\n| | |\n|---|---|\n{lines}"


def _formed(form: str, value: Any) -> str | None:
    if value is None:
        return None
    try:
        return form.format(value)
    except (TypeError, ValueError):
        return str(value)


def _percent(value: Any) -> str:
    finite = isinstance(value, int | float) and math.isfinite(value)
    return f"{100 * value:.1f}" if finite else "\N{EN DASH}"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "\N{EN DASH}"


def _plain(value: Any) -> str:
    """Text that Markdown shows as it is: one line, nothing in it marks up, links or ends a cell."""
    line = " ".join(str(value).split())
    return "".join(_escaped(line))


def _escaped(line: str) -> Iterator[str]:
    for character in line:
        if character in "<>&":
            yield {"<": "&lt;", ">": "&gt;", "&": "&amp;"}[character]
        elif character in "\\`*_[]|#~!":
            yield f"\\{character}"
        else:
            yield character


def _code(value: str) -> str:
    return re.sub(r"[^\w./ -]", "?", value)


def _read(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text()) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _part(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = content.get(key)
    return part if isinstance(part, Mapping) else {}


def _rows(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []
