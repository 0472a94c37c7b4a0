"""Stores made by hand, so that what is in them is known."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ownlatent.data.fingerprint import sample_ids
from ownlatent.embeddings import write
from ownlatent.embeddings.store import KEY, Store, open_store
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing

Make = Callable[..., Store]


@pytest.fixture(scope="session")
def save_encoder() -> Callable[..., None]:
    """Write an encoder of 16-pixel images into a folder, as a run would."""

    def saved(folder: Path, seed: int, name: str = "small-resnet") -> None:
        torch.manual_seed(seed)
        net, _ = backbone(name, 3, 16)
        settings = Preprocessing(3, 16, 1.0, (0.5,) * 3, (0.25,) * 3)
        EncoderFolder.write(folder / "encoder", {"online": Encoder(net, name, settings)})

    return saved


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write vectors [N, D] as ``ownlatent embed`` would, and open them."""

    def made(
        vectors: np.ndarray,
        names: list[str] | None = None,
        labels: list[str | None] | None = None,
        *,
        name: str = "store.parquet",
        **origin: object,
    ) -> Store:
        names = names or [f"{row:05}.png" for row in range(len(vectors))]
        told = {"encoder": "BYOL (online)", "weights": "0" * 32, **origin}
        flat = pa.array(vectors.reshape(-1))
        table = pa.table(
            {
                "id": pa.array(sample_ids(names).numpy(), pa.int64()),
                "path": pa.array(names, pa.string()),
                "label": pa.array(labels or [None] * len(names), pa.string()),
                "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            },
            metadata={KEY: json.dumps(told).encode()},
        )
        out = tmp_path / name
        part = tmp_path / "parts" / "0.parquet"
        part.parent.mkdir(exist_ok=True)
        pq.write_table(table, part)
        join = write._join_parquet if out.suffix == ".parquet" else write._join_lance
        join([part], out, table.schema)
        return open_store(out)

    return made


def clustered(count: int, dim: int, centres: int, spread: float = 0.3, seed: int = 0) -> np.ndarray:
    """float32 [N, D]: row i lies about centre i % centres."""
    draw = np.random.default_rng(seed)
    middle = draw.normal(size=(centres, dim))
    made = middle[np.arange(count) % centres] + spread * draw.normal(size=(count, dim))
    return made.astype(np.float32)


@pytest.fixture(name="clustered")
def _clustered() -> Callable[..., np.ndarray]:
    return clustered
