"""``ownlatent export``: checks first, one writer for each format, and nothing kept that differs."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ownlatent.encoder import EncoderFolder
from ownlatent.errors import UsageError
from ownlatent.exporting.agreement import REACHED
from ownlatent.exporting.wanted import Wanted, others
from ownlatent.foreign import ForeignEncoder, find_encoder

FORMATS = {
    "timm": (".safetensors",),
    "torchvision": (".pth", ".safetensors"),
    "onnx": (".onnx",),
    "huggingface": (),
}
"""By name: what the file's name may end in; a folder for ``()``."""


class Exported(NamedTuple):
    """What was written, and held against the encoder.

    Attributes:
        path: the file or folder.
        gap: the greatest difference of a feature, over the greatest feature; below 1e-5.
        use: Python that loads it.
    """

    path: Path
    gap: float
    use: str


def export(
    run: str | Path,
    *,
    to: str,
    out: str | Path,
    network: str | None = None,
    backbone: str | None = None,
    preprocessing: bool = False,
    license: str | None = None,
) -> Exported:
    """Write an encoder as another library loads it, with identical features there.

    What was written is loaded by that library, and its features of random images are held against
    the encoder's before the file gets its name: float32, within 1e-5 of the greatest feature.

    - "timm": a safetensors checkpoint for ``timm.create_model``, and beside it a ``.json`` with
      architecture, arguments and preprocessing as Hugging Face's folders have them.
    - "torchvision": a state dict, under torchvision's names. It has no classifier.
    - "onnx": a graph for any number of images; of other samples, of what preprocessing makes.
    - "huggingface": a folder to upload: timm's ``config.json`` and ``model.safetensors``, and a
      model card.

    timm and torchvision bring images to a size before they cut the central square, rounding sizes
    and pixels on the way; the encoder cuts first and resamples once. So features are identical for
    what comes out of preprocessing, and those of a picture differ by this rounding; an ONNX graph
    with ``preprocessing`` does as the encoder does.

    Args:
        run: an encoder, wherever it comes from; see :func:`ownlatent.evaluate`.
        to: the format.
        out: what to write; it must be new.
        network, backbone: see :func:`ownlatent.evaluate`.
        preprocessing: of "onnx": the graph takes uint8 ``[B, C, H, W]`` of any size; else float32
            ``[B, C, S, S]``, normalised.
        license: of "huggingface": of the weights, by Hugging Face's identifier, such as
            "apache-2.0"; "other" if it has none.

    Raises:
        UsageError: the format has no such network, the package it needs is missing, or ``out`` is
            there. Nothing is written then.
    """
    out = Path(out)
    _require(to, out, preprocessing, license)
    source = find_encoder(run, backbone)
    if to == "huggingface" and isinstance(source, ForeignEncoder):
        raise UsageError(
            f"A model card is written for our own runs, and {run} is none: export it with --to "
            "timm, torchvision or onnx."
        )
    encoder = source.load(network)
    if isinstance(source, EncoderFolder):
        network = network or source.config["networks"][0]
    wanted = Wanted(encoder, source, network, out, preprocessing, license)
    writer = import_module(f"ownlatent.exporting.to_{to}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as building:
        fresh = Path(building) / out.name
        gap, use = writer.write(wanted, fresh)
        if not gap < REACHED:
            raise UsageError(
                f"Written for {to}, its features differ by {gap:.1g} of the greatest; nothing is "
                f"kept: take --to {others(encoder, than=to)}."
            )
        for made in Path(building).iterdir():
            made.replace(out.with_name(made.name))
    return Exported(out, gap, use)


def _require(to: str, out: Path, preprocessing: bool, license: str | None) -> None:
    if to not in FORMATS:
        raise UsageError(f"There is no format {to!r}; take one of {', '.join(FORMATS)}.")
    endings = FORMATS[to]
    if endings and out.suffix.lower() not in endings:
        raise UsageError(
            f"For {to}, give --out a name ending in {' or '.join(endings)}; got {out}."
        )
    for path in (out, out.with_suffix(".json")) if to == "timm" else (out,):
        if path.exists():
            raise UsageError(f"{path} is there already; choose another --out or delete it.")
    if preprocessing and to != "onnx":
        raise UsageError(
            "Only a graph holds preprocessing: leave --preprocessing out, or --to onnx."
        )
    if to == "onnx" and not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        raise UsageError(
            "A graph is written and checked by onnx, onnxscript and onnxruntime: pip install "
            "'ownlatent[onnx]'."
        )
    if to != "huggingface":
        if license is not None:
            raise UsageError(f"Only a model card names a licence: leave --license out for {to}.")
    elif license is None or not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise UsageError(
            "Name the licence of the weights as Hugging Face does: --license apache-2.0, mit, "
            f"cc-by-nc-4.0 ..., or other; got {license}."
        )
