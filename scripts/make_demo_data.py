"""Build the demo's Parquet files from CIFAR-10 stored as JPEG.

    python scripts/make_demo_data.py FOLDER

FOLDER holds ``cifar10_train_jpeg.npz`` and ``cifar10_test_jpeg.npz``, each with four arrays: the
bytes all JPEG files begin with (``header``), what follows, end to end (``body``), the length of
each image's part of it (``length``) and the labels (``label``), in the official order. The JPEG
bytes are kept as they are; only the first images of each split are taken.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]
IMAGES = {"train": 20_000, "test": 4_000}
OUT = Path(__file__).parents[1] / "src" / "ownlatent" / "demo_data"

FEATURES = {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}
SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.int64()),
    ],
    # what Hugging Face's datasets reads to show images and class names
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


def read(archive: Path, split: str, count: int) -> pa.Table:
    """The first ``count`` images of an archive, as a table of ``SCHEMA``."""
    with np.load(archive) as arrays:
        header, body = arrays["header"].tobytes(), arrays["body"].tobytes()
        ends = np.cumsum(arrays["length"].astype(np.int64))[:count].tolist()
        labels = arrays["label"][:count].astype(np.int64)
    images = [
        {"bytes": header + body[start:end], "path": f"{split}/{index:05d}.jpg"}
        for index, (start, end) in enumerate(zip([0, *ends], ends, strict=False))
    ]
    return pa.Table.from_pydict({"image": images, "label": labels}, schema=SCHEMA)


def main(folder: Path) -> None:
    for split, count in IMAGES.items():
        table = read(folder / f"cifar10_{split}_jpeg.npz", split, count)
        target = OUT / f"cifar10-{split}.parquet"
        # a high level pays: every image starts with the same header
        pq.write_table(
            table, target, compression="zstd", compression_level=19, use_dictionary=False
        )
        print(f"{target.name}: {table.num_rows:,} images, {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
