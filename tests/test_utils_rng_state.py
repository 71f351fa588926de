"""RngState: streams of random numbers for layers that draw from the global generators."""

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dilution.utils.rng_state import RngState


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 700)), max_size=12))
def test_streams_do_not_mix_in_any_order(turns):
    def draw(turns):
        streams = [RngState(key) for key in (5, -6)]
        numbers = [torch.empty(0) for _ in range(3)]
        torch.manual_seed(7)
        for stream, count in turns:
            with streams[stream] if stream < 2 else nullcontext():
                numbers[stream] = torch.cat([numbers[stream], torch.rand(count)])
        return numbers

    mixed = draw(turns)
    for stream in range(3):
        alone = draw([turn for turn in turns if turn[0] == stream])
        assert torch.equal(mixed[stream], alone[stream])
    if len(mixed[0]) and len(mixed[1]):
        assert mixed[0][0] != mixed[1][0]


def test_the_global_generator_is_restored_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), RngState(1):
        nn.Sequential(nn.Dropout(), nn.Linear(2, 2))(torch.rand(3))
    assert torch.equal(torch.get_rng_state(), before)
