"""RngState: streams of random numbers for layers that draw from the global generators."""

import os
import threading
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


def test_threads_side_by_side_draw_what_each_draws_alone():
    def draw(key, together):
        stream, numbers = RngState(key), []
        for _ in range(200):
            if together is not None:
                together.wait()
            with stream:
                numbers.append(torch.rand(3))
        return torch.cat(numbers)

    alone = {key: draw(key, None) for key in (1, 2, 3)}
    torch.manual_seed(7)
    before = torch.get_rng_state()
    together, drawn = threading.Barrier(3), {}
    threads = [
        threading.Thread(target=lambda key=key: drawn.update({key: draw(key, together)})) for key in alone
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(drawn[key], alone[key]) for key in alone)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_process_forked_while_another_thread_draws_has_the_generator_of_its_parent():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with RngState(1):
            inside.set()
            leave.wait(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    child = os.fork()  # waits for the end of the block
    if child == 0:
        with RngState(2):
            pass
        os._exit(0 if torch.equal(torch.get_rng_state(), before) else 1)
    leave.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
