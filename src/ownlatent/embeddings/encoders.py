"""The encoder that a store is of: told by its weights, found again, given queries."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ownlatent.data.decode import decode
from ownlatent.embeddings.store import Store
from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.evaluation.subjects import find_subjects


def digest(encoder: Encoder) -> str:
    """Of the weights, and of what samples go through before them."""
    made = hashlib.blake2b(repr(encoder.preprocessing).encode(), digest_size=16)
    for name, value in sorted(encoder.backbone.state_dict().items()):
        made.update(name.encode())
        made.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return made.hexdigest()


def encoder_of(
    store: Store,
    run: str | Path | None = None,
    *,
    network: str | None = None,
    backbone: str | None = None,
    device: str = "cpu",
) -> Encoder:
    """The encoder that a store's vectors are of.

    Args:
        run: where it is; None: where it was when the store was written. So for ``network`` and
            ``backbone``, which are those of :func:`ownlatent.evaluate`.
        device: where it is put.

    Raises:
        UsageError: it is not there, or is another one.
    """
    source = store.origin.get("source")
    if run is None:
        if not isinstance(source, dict) or not isinstance(source.get("run"), str):
            raise UsageError(f"{store.path} does not say where its encoder is; name it with --run.")
        run, network, backbone = source["run"], source.get("network"), source.get("backbone")
        if Path(run).is_absolute() and not Path(run).exists():
            raise UsageError(
                f"The encoder of {store.path} is no longer at {run}; say with --run where it is."
            )
    subjects = find_subjects(
        run, network=network, backbone=backbone, baselines=False, seed=0, device=device
    )
    ((title, encoder),) = subjects.nets
    if encoder.num_features != store.dim:
        raise UsageError(
            f"{run} gives vectors of {encoder.num_features} dimensions and {store.path} holds "
            f"{store.dim}; name the encoder it was made with by --run, or embed anew."
        )
    if digest(encoder) != store.origin["weights"]:
        raise UsageError(
            f"{store.path} was made with other weights ({store.origin['encoder']}) than {title} "
            f"in {run} has; name the encoder it was made with by --run, or embed anew."
        )
    return encoder


def embed_queries(encoder: Encoder, query: Any) -> tuple[NDArray[np.float32], list[str]]:
    """Vectors of what is searched for, ``[Q, D]``, and what each is called.

    Args:
        query: for an encoder of images, image files, PIL images or uint8 tensors ``[C, H, W]``, one
            or a sequence; for others whatever the encoder is called with.

    Raises:
        UsageError: a query cannot be read, or is of another kind than the store's samples.
    """
    each = list(query) if isinstance(query, list | tuple) else [query]
    if not each:
        raise UsageError("Give at least one query.")
    with torch.inference_mode():
        if encoder.preprocessing.kind == "images":
            vectors = torch.cat([encoder([_image(one)]) for one in each])
        else:  # a file of several sounds, sentences or rows is one argument
            alone = len(each) == 1 and isinstance(each[0], str | Path)
            vectors = encoder(each[0] if alone else query)
    if len(each) != len(vectors):
        each = [None] * len(vectors)
    return vectors.cpu().numpy(), [_called(one, place) for place, one in enumerate(each)]


def _called(query: Any, place: int) -> str:
    return str(query) if isinstance(query, str | Path) else f"query {place + 1}"


def _image(query: Any) -> Any:
    if isinstance(query, Image.Image | torch.Tensor):
        return query
    if not isinstance(query, str | Path):
        raise UsageError(
            f"A query is an image file, a PIL image or a uint8 tensor; got {type(query).__name__}."
        )
    path = Path(query).expanduser()
    try:
        return torch.tensor(decode(path.read_bytes()))
    except Exception as error:  # decoders meet damage with errors of every type
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UsageError(
            f"The query {query} cannot be read ({why or type(error).__name__}); give an image."
        ) from error
