"""Which images a step sees, for any number of processes (issue: order, and METHODS.md §12.22)."""

import torch

from ownlatent.data.order import epoch_order
from ownlatent.training.batches import Batches

IDS = torch.arange(100) * 7919 - 5000


def test_processes_and_micro_batches_cut_the_same_batch() -> None:
    whole = Batches(IDS, seed=3, batch_size=24)
    for step in range(10):
        expected = whole.rows(step).flatten()
        for accumulate, world in ((1, 2), (2, 1), (3, 4), (2, 3)):
            parts = [
                Batches(IDS, 3, 24, accumulate, rank, world).rows(step) for rank in range(world)
            ]
            together = torch.stack(parts, dim=1).flatten()  # micro-batch, rank, sample
            assert torch.equal(together, expected)


def test_an_epoch_sees_each_image_once_and_drops_the_ragged_batch() -> None:
    batches = Batches(IDS, seed=0, batch_size=24)
    assert batches.per_epoch == 4
    seen = torch.cat([batches.rows(step).flatten() for step in range(4)])
    assert len(seen.unique()) == 96
    assert torch.equal(seen, epoch_order(IDS, 0, 0)[:96])
    assert torch.equal(batches.rows(4).flatten(), epoch_order(IDS, 0, 1)[:24])
    assert [batches.epoch(step) for step in (3, 4, 8)] == [0, 1, 2]


def test_a_step_can_be_asked_for_out_of_turn() -> None:
    forward, jumping = Batches(IDS, 1, 10), Batches(IDS, 1, 10)
    rows = [forward.rows(step) for step in range(25)]
    for step in (24, 3, 17, 0):
        assert torch.equal(jumping.rows(step), rows[step])
