"""Part after part gives what the whole gives."""

import numpy as np
import torch

from ownlatent.data import decode_canvases, decode_parts, open_source
from ownlatent.demo import TEST


def test_parts_are_the_whole_in_order() -> None:
    for data in (TEST, np.random.default_rng(0).integers(0, 256, (300, 9, 7, 3), np.uint8)):
        source = open_source(data)
        whole = decode_canvases(source)
        parts = list(decode_parts(source, 1500 if data is TEST else 128))
        assert [len(part) for part in parts] == (
            [1500, 1500, 1000] if data is TEST else [128, 128, 44]
        )
        assert torch.equal(torch.cat([part.pixels for part in parts]), whole.pixels)
        assert torch.equal(torch.cat([part.ids for part in parts]), whole.ids)
        assert torch.equal(torch.cat([part.sizes for part in parts]), whole.sizes)
        assert np.array_equal(np.concatenate([part.digests for part in parts]), whole.digests)
        if whole.labels is not None:
            assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
