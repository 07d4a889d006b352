"""States on disk."""

import torch

from slotbench.training import checkpoint


def test_the_newest_two_states_stay_and_later_ones_can_be_removed(tmp_path):
    for epoch in (1, 2, 3, 12):
        checkpoint.write(checkpoint.State(epoch, {"x": torch.full((3,), float(epoch))}, {"epoch": epoch}), tmp_path)
    assert [state.epoch for state in checkpoint.read(tmp_path)] == [12, 3]
    checkpoint.clear(tmp_path, after=3)
    (left,) = checkpoint.read(tmp_path)
    assert (left.epoch, left.rest) == (3, {"epoch": 3})
    assert torch.equal(left.tensors["x"], torch.full((3,), 3.0))
    checkpoint.clear(tmp_path)
    assert list(checkpoint.read(tmp_path)) == []
