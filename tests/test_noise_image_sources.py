from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, norm

from dilution.data import Arrays, DataSet
from dilution.errors import InputError
from dilution.noise import Dilution, channel_moments

MakeData = Callable[..., Arrays]


def noisy(dilution: Dilution) -> torch.Tensor:
    return torch.arange(dilution.n, len(dilution))


def test_the_same_images_are_shown_in_turn(make_data: MakeData) -> None:
    dilution = Dilution(make_data(40), 2.5, n=30)
    assert torch.equal(dilution.source(noisy(dilution)), dilution.clean_rows.repeat(3)[:75])
    assert torch.equal(
        dilution.images(noisy(dilution)), dilution.data.images[dilution.clean_rows.repeat(3)[:75]]
    )
    assert dilution.image_source.name == "same"
    assert dilution.image_source.note == ""


@given(st.integers(2, 60), st.floats(0, 8), st.integers(0, 99), st.data())
def test_fresh_images_are_never_among_the_clean_ones(
    make_data: MakeData, size: int, alpha: float, seed: int, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, size - 1))
    dilution = Dilution(make_data(size), alpha, image_source="fresh", n=n, seed=seed)
    rows = dilution.source(noisy(dilution))
    assert not set(rows.tolist()) & set(dilution.clean_rows.tolist())
    assert torch.equal(dilution.images(noisy(dilution)), dilution.data.images[rows])
    assert torch.equal(dilution.true_labels(noisy(dilution)), dilution.data.labels[rows])
    uses = torch.bincount(rows, minlength=size)[~torch.isin(torch.arange(size), dilution.clean_rows)]
    assert int(uses.max()) - int(uses.min()) <= 1


def test_fresh_images_used_again_are_noted(make_data: MakeData) -> None:
    assert Dilution(make_data(100), 3, image_source="fresh", n=25).image_source.note == ""
    again = Dilution(make_data(100), 6, image_source="fresh", n=25)
    assert again.image_source.note == "each of 75 fresh images is used 2.00 times"


def test_fresh_images_are_refused_when_none_are_left(make_data: MakeData) -> None:
    with pytest.raises(InputError, match="finds 0 fresh images: all 30 are among the clean ones"):
        Dilution(make_data(30), 1, image_source="fresh")


@pytest.mark.parametrize("images", ["white_noise", "external"])
def test_other_images_change_no_label(make_data: MakeData, images: str) -> None:
    data = make_data(50)
    chosen = make_data(7) if images == "external" else images
    same, other = (
        Dilution(data, 3, image_source=source, n=30, stratified=True) for source in ("same", chosen)
    )
    index = torch.arange(len(same))
    assert torch.equal(other.labels(index), same.labels(index))
    assert torch.equal(other.true_labels(index), same.true_labels(index))
    assert other.image_source.name == images


def test_external_images_are_all_used_equally_often(make_data: MakeData) -> None:
    other = Arrays(255 - make_data(21).images, make_data(21).labels)
    dilution = Dilution(make_data(30), 7, image_source=other)
    rows = dilution.source(noisy(dilution))
    assert torch.equal(dilution.images(noisy(dilution)), other.images[rows])
    assert torch.bincount(rows, minlength=21).tolist() == [10] * 21
    assert dilution.image_source.note == ""


def test_external_images_have_other_partners_in_each_lap(make_data: MakeData) -> None:
    dilution = Dilution(make_data(30), 4, image_source=make_data(30))
    laps = dilution.source(noisy(dilution)).reshape(4, 30)
    for lap in range(1, 4):
        assert (laps[lap] == laps[0]).double().mean() < 0.5


@pytest.mark.parametrize(
    ("shape", "wanted", "note"),
    [
        ((1, 4, 4), (3, 4, 4), "external images: grey repeated on three channels"),
        ((3, 4, 4), (1, 4, 4), "external images: colour turned to grey"),
        ((1, 8, 6), (1, 4, 4), "external images: resized from 8×6 to 4×4"),
        ((2, 8, 8), (2, 4, 4), "external images: resized from 8×8 to 4×4"),
        ((3, 2, 2), (1, 4, 4), "external images: colour turned to grey, resized from 2×2 to 4×4"),
    ],
)
def test_external_images_of_another_shape_are_converted_and_noted(
    make_data: MakeData, shape: tuple[int, int, int], wanted: tuple[int, int, int], note: str
) -> None:
    clean = Arrays(torch.zeros(6, *wanted, dtype=torch.uint8), torch.arange(6))
    other = Arrays(torch.full((5, *shape), 200, dtype=torch.uint8), torch.arange(5))
    dilution = Dilution(clean, 2, image_source=other)
    images = dilution.images(torch.arange(18))
    assert images.dtype == torch.uint8
    assert images.shape == (18, *wanted)
    assert (images[:6] == 0).all()
    assert (images[6:] == 200).all()
    assert dilution.image_source.note == note


def test_colour_turns_grey_by_its_luma_and_grey_is_the_same_on_all_channels() -> None:
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)[:, :, None, None]
    grey = Arrays(torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None, None], torch.arange(3))
    colour = Arrays(colours, torch.arange(3))
    for clean, other, values in (
        (grey, colour, [[76], [150], [29]]),
        (colour, grey, [[v] * 3 for v in (10, 20, 30)]),
    ):
        dilution = Dilution(clean, 1, image_source=other)
        shown = dilution.images(noisy(dilution))[:, :, 0, 0]
        assert shown.tolist() == [values[row] for row in dilution.source(noisy(dilution)).tolist()]


@pytest.mark.parametrize(("channels", "wanted"), [(2, 3), (4, 1), (1, 2), (3, 4)])
def test_external_images_with_other_channels_than_grey_and_colour_are_refused(
    make_data: MakeData, channels: int, wanted: int
) -> None:
    with pytest.raises(InputError, match=f"external images have {channels} channels, the data {wanted};"):
        Dilution(make_data(10, channels=wanted), 1, image_source=make_data(10, channels=channels))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("wite_noise", "'wite_noise' is not an image source. Did you mean 'white_noise'"),
        ("fresch", "Did you mean 'fresh'"),
        ("", "'' is not"),
    ],
)
def test_an_unknown_image_source_is_refused_with_the_nearest_name(
    make_data: MakeData, images: str, message: str
) -> None:
    with pytest.raises(InputError) as refused:
        Dilution(make_data(30), 1, image_source=images)
    assert message in str(refused.value)


def test_images_that_are_neither_a_name_nor_arrays_are_refused(make_data: MakeData) -> None:
    both = DataSet("x", make_data(10), make_data(10))
    for images, kind in ((both, "DataSet"), (None, "NoneType"), (make_data(10).images, "Tensor")):
        with pytest.raises(InputError, match=f"image_source is a {kind}; it must be 'same'"):
            Dilution(make_data(30), 1, image_source=images)


# White noise


def coloured(n: int, moments: list[tuple[float, float]]) -> Arrays:
    rng = np.random.default_rng(0)
    pixels = [rng.normal(mean, deviation, (n, 1, 8, 8)) for mean, deviation in moments]
    images = torch.from_numpy(np.concatenate(pixels, axis=1).round().clip(0, 255).astype(np.uint8))
    return Arrays(images, torch.arange(n) % 10)


def test_white_noise_has_the_moments_of_each_channel_of_the_data() -> None:
    data = coloured(50, [(100, 20), (160, 10), (128, 30)])
    dilution = Dilution(data, 60, image_source="white_noise")
    images = dilution.images(noisy(dilution))
    assert images.dtype == torch.uint8
    assert images.shape == (3000, 3, 8, 8)
    assert (dilution.source(noisy(dilution)) == -1).all()
    mean, deviation = moments(data.images)
    white_mean, white_deviation = moments(images)
    np.testing.assert_allclose(white_mean, mean, atol=0.3 / 255)
    np.testing.assert_allclose(white_deviation, deviation, rtol=0.01)


def test_white_noise_has_the_moments_of_the_clean_examples_only() -> None:
    bright, dark = torch.full((20, 1, 2, 2), 200), torch.full((20, 1, 2, 2), 10)
    images = torch.cat([bright, dark]).to(torch.uint8)
    data = Arrays(images, torch.arange(40) % 10)
    dilution = Dilution(data, 100, image_source="white_noise", n=3)
    shown = dilution.images(noisy(dilution)).double()
    assert float(shown.mean()) == pytest.approx(float(images[dilution.clean_rows].double().mean()), abs=6)


def test_white_noise_is_clipped_to_the_pixel_range_and_does_not_wrap() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat(20)[:, None, None, None].expand(40, 1, 8, 8)
    dilution = Dilution(Arrays(images, torch.arange(40) % 2), 100, image_source="white_noise")
    shown = dilution.images(noisy(dilution))
    beyond = norm.sf(1)  # mean and deviation are both half the range
    assert float((shown == 0).double().mean()) == pytest.approx(beyond, abs=0.005)
    assert float((shown == 255).double().mean()) == pytest.approx(beyond, abs=0.005)


def test_white_noise_pixels_are_normal_and_independent() -> None:
    data = coloured(50, [(128, 20), (128, 20)])
    dilution = Dilution(data, 40, image_source="white_noise")
    shown = dilution.images(noisy(dilution)).double()
    mean, deviation = (255 * moment[0] for moment in moments(data.images))
    edges = np.array([100.5, 110.5, 120.5, 128.5, 136.5, 146.5, 156.5])
    shares = np.diff(norm.cdf((edges - float(mean)) / float(deviation)), prepend=0, append=1)
    counts = np.bincount(np.searchsorted(edges, shown[:, 0].numpy().ravel()), minlength=8)
    assert chisquare(counts, shares * counts.sum()).pvalue > 1e-3
    parts = (shown[:, 0, :, :-1], shown[:, 0, :, 1:]), (shown[:, 0], shown[:, 1]), (shown[:-1], shown[1:])
    for one, other in parts:
        correlation = np.corrcoef(one.numpy().ravel(), other.numpy().ravel())[0, 1]
        assert abs(correlation) < 4 / one.numel() ** 0.5


def test_white_noise_depends_on_the_example_and_the_seed() -> None:
    data = coloured(50, [(128, 20)])
    one, again, other = (Dilution(data, 2, image_source="white_noise", seed=seed) for seed in (0, 0, 1))
    index = noisy(one)
    assert torch.equal(one.images(index), again.images(index.flip(0)).flip(0))
    assert not torch.equal(one.images(index), other.images(index))
    assert len(one.images(index).unique(dim=0)) == 100


def moments(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    data = Arrays(images, torch.zeros(len(images), dtype=torch.int64))
    return channel_moments(data, torch.arange(len(images)))


def test_channel_moments_are_those_of_the_given_rows() -> None:
    data = coloured(50, [(100, 20), (160, 10)])
    rows = torch.tensor([3, 7, 31])
    for own, chosen in zip(moments(data.images[rows]), channel_moments(data, rows), strict=True):
        assert torch.equal(own, chosen)


@pytest.mark.parametrize("n", [1, 5, 5000])
def test_channel_moments_are_those_of_torch(n: int) -> None:
    images = torch.randint(0, 256, (n, 3, 3, 2), generator=torch.Generator().manual_seed(0))
    images[:, 1] //= 4
    mean, deviation = moments(images.to(torch.uint8))
    values = images.double().transpose(0, 1).reshape(3, -1) / 255
    assert mean.dtype == deviation.dtype == torch.float64
    torch.testing.assert_close(mean, values.mean(1))
    torch.testing.assert_close(deviation, values.std(1, correction=0))


def test_channel_moments_of_one_colour_have_no_deviation() -> None:
    _, deviation = moments(torch.full((4, 2, 3, 3), 7, dtype=torch.uint8))
    assert deviation.tolist() == [0, 0]
