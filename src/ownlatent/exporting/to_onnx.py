"""A graph of ONNX, checked by ONNX Runtime."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from ownlatent import __version__
from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.exporting.agreement import gap, random_inputs, random_pixels
from ownlatent.exporting.wanted import Wanted
from ownlatent.preprocessing import Preprocessing
from ownlatent.views.geometry import resampling

INPUT, OUTPUT = "input", "features"
_MOST = 2**31 - 2**24  # bytes of a protobuf, less what the graph takes


class Pixels(nn.Module):
    """:class:`ownlatent.preprocessing.ToPixels` in operations that take any height and width.

    uint8 ``[B, C, H, W]`` of one size to float32 ``[B, C, S, S]``. Where it leaves the pixels as
    they are, this multiplies them by matrices that are the identity.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: Preprocessing) -> None:
        super().__init__()
        self.settings = settings
        for statistic in ("mean", "std"):
            value = torch.tensor(getattr(settings, statistic)).view(-1, 1, 1)
            self.register_buffer(statistic, value)

    def forward(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[2], pixels.shape[3]
        shorter: Any = torch.sym_min(height, width)
        side = torch.full((1,), self.settings.crop) * shorter
        x = pixels.to(torch.float32) / 255
        x = self._matrix(side, height) @ x @ self._matrix(side, width).transpose(-1, -2)
        return (x.clamp(0, 1) - self.mean) / self.std

    def _matrix(self, side: Tensor, length: int) -> Tensor:
        start = (torch.full((1,), 1.0) * length - side) / 2
        matrix = resampling(start, side, None, self.settings.size, length)
        return matrix[:, None]


def write(wanted: Wanted, fresh: Path) -> tuple[float, str]:
    """Write ``fresh``; what :class:`Exported` says of it."""
    encoder = wanted.encoder
    if not wanted.preprocessing:
        graph, checked = encoder.backbone, [random_inputs(encoder, n) for n in (3, 1)]
        ours = encoder.backbone
        free = {0: "batch"} | ({1: "length"} if encoder.preprocessing.kind == "text" else {})
    elif encoder.preprocessing.kind == "images":
        graph = nn.Sequential(Pixels(encoder.preprocessing), encoder.backbone)
        size = encoder.preprocessing.size
        sides = (
            (3, size, size),
            (1, 2 * size + 1, size),
            (2, size, 3 * size),
            (2, size // 2, size),
        )
        checked = [random_pixels(encoder, *shape) for shape in sides]
        ours = encoder
        free = {0: "batch", 2: "height", 3: "width"}
    else:
        raise UsageError(
            "A graph holds the preprocessing of images alone: leave --preprocessing out, and give "
            "it what encoder.preprocess makes."
        )
    _export(graph.eval(), checked, free, fresh, _meaning(wanted))
    session = onnxruntime.InferenceSession(fresh, providers=["CPUExecutionProvider"])
    distances = []
    with torch.inference_mode():
        for each in checked:
            theirs = session.run([OUTPUT], {INPUT: each.contiguous().numpy()})[0]
            distances.append(gap(ours(each).float(), torch.from_numpy(theirs)))
    shape = ", ".join(free.get(at, str(n)) for at, n in enumerate(checked[0].shape))
    dtype = str(checked[0].dtype).replace("torch.", "numpy.")
    use = f"""\
import onnxruntime

session = onnxruntime.InferenceSession({str(wanted.out)!r})
(features,) = session.run(None, {{{INPUT!r}: samples}})  # {dtype}, [{shape}]"""
    return max(distances), use


def _export(
    graph: nn.Module, inputs: Sequence[Tensor], free: dict[int, str], to: Path, meaning: str
) -> None:
    if sum(value.nbytes for value in graph.state_dict().values()) > _MOST:
        raise UsageError("This network is larger than the 2 GB that one file of ONNX can hold.")
    shapes: Any = ({at: torch.export.Dim.DYNAMIC for at in free},)
    example = inputs[-1] if len(inputs) > 2 else inputs[0]  # more than one: 1 would be a constant
    try:
        with warnings.catch_warnings(), _plain_attention(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter's own making
            program: Any = torch.onnx.export(
                graph, (example.contiguous(),), dynamo=True, dynamic_shapes=shapes,
                input_names=[INPUT], output_names=[OUTPUT], verbose=False,
            )  # fmt: skip
    except Exception as error:  # tracing meets what it cannot follow with many types
        raise UsageError(
            f"This network cannot be written as a graph ({type(error).__name__}); export it to "
            "timm or torchvision, or use it as it is."
        ) from error
    axes = program.model.graph.inputs[0].shape
    program.rename_axes({str(axes[at]): name for at, name in free.items()})
    program.model.metadata_props["ownlatent"] = meaning
    program.save(to, external_data=False)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """torch's transformer layers step by step: what they take in one piece no exporter knows."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


def _meaning(wanted: Wanted) -> str:
    """What a graph cannot say by itself, as JSON."""
    encoder: Encoder = wanted.encoder
    return json.dumps(
        {
            "version": __version__,
            "backbone": encoder.name,
            "network": wanted.network,
            "preprocessing_inside": wanted.preprocessing,
            "preprocessing": asdict(encoder.preprocessing),
            "provenance": encoder.provenance,
        }
    )
