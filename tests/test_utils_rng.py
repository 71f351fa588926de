"""Random numbers as functions of key and counter: bijections, uniformity, and fixed values."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from dilution.utils import rng

KEYS = st.integers(-(2**63), 2**63 - 1)


@given(KEYS, st.integers(1, 3000))
def test_permute_is_a_bijection_of_any_size(key: int, size: int) -> None:
    shuffled = rng.permute(key, torch.arange(size), size)
    assert torch.equal(shuffled.sort().values, torch.arange(size))


@given(KEYS, st.lists(st.integers(1, 300), min_size=1, max_size=12))
def test_permute_is_a_bijection_of_each_range_with_one_range_per_element(key: int, sizes: list[int]) -> None:
    position = torch.cat([torch.arange(size) for size in sizes])
    size_per_element = torch.repeat_interleave(torch.tensor(sizes), torch.tensor(sizes))
    shuffled = rng.permute(key, position, size_per_element)
    for size, part in zip(sizes, shuffled.split(sizes), strict=True):
        assert torch.equal(part, rng.permute(key, torch.arange(size), size))


@given(KEYS, st.integers(1, 10**12), st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_permute_of_a_position_does_not_depend_on_the_other_positions(
    key: int, size: int, positions: list[int]
) -> None:
    position = torch.tensor(positions) % size
    shuffled = rng.permute(key, position, size)
    assert shuffled.tolist() == [int(rng.permute(key, single, size)) for single in position]
    assert torch.equal(rng.permute(key, position.flip(0), size).flip(0), shuffled)
    assert torch.equal(rng.permute(key, position, torch.tensor(size)), shuffled)
    assert bool(((shuffled >= 0) & (shuffled < size)).all())
    assert len(shuffled.unique()) == len(position.unique())


@pytest.mark.parametrize("size", [2, 3, 4, 10, 20, 50])
def test_permute_sends_every_position_of_a_short_range_everywhere_equally_often(size: int) -> None:
    keys = rng.mix(7, torch.arange(4000))[:, None]
    shuffled = rng.permute(keys, torch.arange(size).expand(4000, size), size)
    for position in range(0, size, max(1, size // 5)):
        counts = torch.bincount(shuffled[:, position], minlength=size)
        assert chisquare(counts.tolist()).pvalue > 1e-3


@pytest.mark.parametrize("size", [97, 1000, 60_000])
def test_permute_sends_each_part_of_the_range_to_each_part_equally_often(size: int) -> None:
    keys = rng.mix(3, torch.arange(600))[:, None]
    position = torch.linspace(0, size - 1, 64).long()
    shuffled = rng.permute(keys, position.expand(600, 64), size)
    # values of one key do not repeat, so each test uses only one position per key
    for column in range(0, 64, 21):
        buckets = torch.bincount(shuffled[:, column] * 8 // size, minlength=8)
        assert chisquare(buckets.tolist()).pvalue > 1e-3
    neighbours = (shuffled[:, 1] - shuffled[:, 0]) % size * 8 // size
    assert chisquare(torch.bincount(neighbours, minlength=8).tolist()).pvalue > 1e-3


@given(KEYS, st.lists(KEYS, max_size=20))
def test_the_processor_mixes_as_every_other_device(key: int, counters: list[int]) -> None:
    counter = torch.tensor(counters, dtype=torch.int64)
    assert torch.equal(rng.mix(key, counter), rng._mix_tensors(key, counter))
    short = counter % 1000
    assert torch.equal(rng.mix(key, short.int()), rng.mix(key, short))
    assert torch.equal(rng.mix(counter, counter[:, None]), rng._mix_tensors(counter, counter[:, None]))


@given(KEYS, st.integers(1, 2000), st.data())
def test_a_part_of_a_permutation_is_that_of_the_whole(key: int, size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    whole = rng.permutation(key, size)
    assert torch.equal(whole[start:stop], rng.part_of_permutation(key, size, start, stop))
    assert torch.equal(whole, rng._permute_tensors(key, torch.arange(size), size))  # as on a GPU


@pytest.mark.parametrize("size", [1, 2, 5, 30, 1000, 5000])
def test_permutations_together_are_those_of_each_key(size: int) -> None:
    keys = tuple(rng.stream(seed, "order") for seed in range(5))
    expected = torch.cat([rng.permute(key, torch.arange(size), size) for key in keys])
    assert torch.equal(rng.permutations(keys, size), expected)


def test_permute_of_another_key_is_another_permutation() -> None:
    one, other = (rng.permute(key, torch.arange(1000), 1000) for key in (1, 2))
    assert int((one == other).sum()) < 10


def test_one_key_per_element_gives_the_same_as_each_key_alone() -> None:
    keys = torch.tensor([5, -9, 2**62])
    counter = torch.tensor([0, 4, 1])
    for draw in (rng.mix, rng.uniform_bits):
        assert draw(keys, counter).tolist() == [
            int(draw(int(k), c)) for k, c in zip(keys, counter, strict=True)
        ]
    assert rng.permute(keys, counter, 6).tolist() == [
        int(rng.permute(int(k), c, 6)) for k, c in zip(keys, counter, strict=True)
    ]


@pytest.mark.parametrize("shift", [0, 8, 24, 40])
def test_uniform_bits_are_uniform_in_every_byte(shift: int) -> None:
    draw = rng.uniform_bits(11, torch.arange(200_000))
    assert int(draw.min()) >= 0
    assert int(draw.max()) < 2**rng.BITS
    byte = (draw >> shift) & 255
    assert chisquare(torch.bincount(byte, minlength=256).tolist()).pvalue > 1e-3


@pytest.mark.parametrize("lag", [1, 10, 60_000])
def test_uniform_bits_of_related_counters_and_keys_are_independent(lag: int) -> None:
    counter = torch.arange(100_000)
    first = rng.uniform_bits(11, counter) >> (rng.BITS - 3)
    for second in (rng.uniform_bits(11, counter + lag), rng.uniform_bits(11 + lag, counter)):
        pairs = torch.bincount(first * 8 + (second >> (rng.BITS - 3)), minlength=64).reshape(8, 8)
        assert chi2_contingency(pairs.numpy()).pvalue > 1e-3


@given(KEYS, st.lists(st.integers(0, 2**62), min_size=1, max_size=20))
def test_a_draw_depends_on_its_key_and_counter_alone(key: int, counters: list[int]) -> None:
    counter = torch.tensor(counters)
    expected = [int(rng.uniform_bits(key, single)) for single in counter]
    assert rng.uniform_bits(key, counter).tolist() == expected


def test_streams_differ_by_seed_and_by_name() -> None:
    keys = {rng.stream(seed, name) for seed in range(-50, 50) for name in ("noise", "subset", "order/1")}
    assert len(keys) == 300


def test_a_generator_repeats_its_stream_and_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    one, again, other = (
        torch.rand(4, generator=rng.generator(*source)) for source in ((1, "a"), (1, "a"), (1, "b"))
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_mix_is_the_published_splitmix64() -> None:
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]  # of seed 1234567
    assert [v % 2**64 for v in rng.mix(1234567, torch.tensor([1, 2, 3])).tolist()] == published


def test_draws_are_the_same_on_every_machine_and_in_every_version() -> None:
    # stored results depend on these values: a change of one changes every result
    assert rng.stream(0, "noise") == 2258784678044586894
    assert rng.stream(-3, "weights") == 5149484636442870021
    counter = torch.tensor([0, 1, 2**40])
    assert rng.mix(5, counter).tolist() == [-5278393320434088484, 7134611160154358618, 2209595409289230298]
    assert rng.mix(2**64 - 1, torch.tensor([3])).tolist() == [4048727598324417001]
    assert rng.uniform_bits(5, counter).tolist() == [200933086445243, 108865526735753, 33715750263812]
    assert rng.permute(5, torch.arange(8), 8).tolist() == [2, 4, 7, 3, 5, 6, 1, 0]
    far = torch.tensor([0, 1, 59_999_999])
    assert rng.permute(5, far, 60_000_000).tolist() == [49008034, 33015761, 6045331]


def test_permute_gives_every_order_of_a_short_range_equally_often() -> None:
    keys = rng.mix(11, torch.arange(24_000))[:, None]
    shuffled = rng.permute(keys, torch.arange(4).expand(24_000, 4), 4)
    orders = torch.unique(shuffled, dim=0, return_counts=True)[1]
    assert len(orders) == 24
    assert chisquare(orders.tolist()).pvalue > 1e-3
