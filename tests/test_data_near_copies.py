"""The search for near-copies: it finds what a comparison of all pairs finds, and compares few pairs."""

from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import zoom
from sklearn.datasets import load_sample_images

from dilution.data import Arrays, near_copy_search
from dilution.data.components import Components
from dilution.data.duplicates import find_copies, group_copies
from dilution.data.group_numbers import join_groups, number_groups
from dilution.data.near_copies import _pixels, find_near_copies
from dilution.data.near_copy_search import NearCopySearch, _is_enough

Pixels = NDArray[np.uint8]


def smooth(seed: int, n: int) -> NDArray[np.float64]:
    """Return different images without noise, shape (n, 1, 32, 32)."""
    coarse = np.random.default_rng(seed).uniform(30, 220, (n, 6, 6))
    return zoom(coarse, (1, 32 / 6, 32 / 6), order=3)[:, None]


def frames(n: int, noise: float, seed: int = 0, cameras: int = 1) -> torch.Tensor:
    """Return frames of fixed cameras, uint8, shape (n, 1, 32, 32); `noise` is a deviation in levels."""
    random = np.random.default_rng(seed)
    scene = smooth(seed, cameras)[np.arange(n) % cameras]
    return torch.from_numpy((scene + random.normal(0, noise, scene.shape)).clip(0, 255).astype(np.uint8))


@given(st.data())
def test_components_are_those_of_all_edges_so_far(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    node = st.integers(0, n - 1)
    components, groups = Components(np.arange(n)), np.arange(n)
    for edges in data.draw(st.lists(st.lists(st.tuples(node, node), max_size=6), max_size=4)):
        pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
        components.join(pairs)
        for first, second in edges:
            groups[groups == groups[second]] = groups[first]
        np.testing.assert_array_equal(components.numbers, components.numbers[components.numbers])
        np.testing.assert_array_equal(number_groups(components.numbers), number_groups(groups))
        assert not components.are_apart(pairs).any()
        everything = np.arange(n)
        assert components.are_joined(everything, everything) == (len(set(groups)) == 1)


def white_noise(n: int, seed: int = 0) -> torch.Tensor:
    """Return coloured noise, uint8, shape (n, 3, 32, 32), whose low frequencies are hardly different."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator)


@given(
    st.integers(0, 99),
    st.integers(2, 25),
    st.integers(1, 5),
    st.sampled_from([1.0, 6.0, 14.0]),
    st.integers(0, 25),
    st.booleans(),
    st.booleans(),
)
def test_the_search_joins_what_a_comparison_of_all_pairs_joins(
    seed: int, n: int, cameras: int, noise: float, n_known: int, is_small: bool, is_narrow: bool
) -> None:
    images, n_known = frames(n, noise, seed, cameras), min(n, n_known)
    pixels = _pixels(images.float())
    is_near = _is_enough(*(part @ part.T for part in pixels))
    joined = np.arange(n)
    for first, second in zip(*np.nonzero(is_near), strict=True):
        joined = join_groups(joined, np.where(np.arange(n) == second, first, np.arange(n)))
    with pytest.MonkeyPatch.context() as patch:
        if is_small:
            for name, value in (("_BLOCK", (5, 7)), ("_TILE", (2, 3)), ("_CHUNK", 2)):
                patch.setattr(near_copy_search, name, value)
        if is_narrow:
            patch.setattr(near_copy_search, "_IN_VAIN", (-1, 0))
        groups, is_alike = find_near_copies([(images, np.arange(n))])
        np.testing.assert_array_equal(number_groups(groups), joined)
        first_rows = np.unique(joined, return_index=True)[1]
        np.testing.assert_array_equal(groups, first_rows[joined])
        assert not is_alike.any()
        known, _ = find_near_copies([(images[:n_known], np.arange(n_known))])
        parts = [(images[:n_known], np.arange(n_known)), (images[n_known:], np.arange(n - n_known))]
        again, _ = find_near_copies(parts, known=number_groups(known))
        np.testing.assert_array_equal(number_groups(again), joined)


def squares_of_photographs() -> torch.Tensor:
    """Return squares of two photographs, half of which are also there darker and compressed again."""
    squares = [
        photograph[top : top + 64, left : left + 64]
        for photograph in load_sample_images().images
        for top in range(0, 384, 64)
        for left in range(0, 640, 64)
    ]
    for number in range(0, len(squares), 2):
        file = BytesIO()
        Image.fromarray((squares[number] * 0.8).astype(np.uint8)).save(file, "JPEG", quality=80)
        squares.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


def test_random_projections_change_no_near_copies_of_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    images = squares_of_photographs()
    expected = find_copies(images)
    assert expected.n_near_copies > 20
    monkeypatch.setattr(near_copy_search, "_IN_VAIN", (-1, 0))
    np.testing.assert_array_equal(find_copies(images).groups, expected.groups)


def pairs_of_noise(n: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many pairs of n images of noise are compared pixel by pixel."""
    searches: list[NearCopySearch] = []
    run = NearCopySearch.run

    def recorded(search: NearCopySearch, known: int = 0) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        searches.append(search)
        return run(search, known)

    monkeypatch.setattr(NearCopySearch, "run", recorded)
    images = white_noise(n)
    images[-1] = (images[0].int() * 4 // 5).byte()  # darker
    copies = find_copies(images)
    assert (copies.n_near_copies, copies.n_alike) == (1, 0)
    return searches[-1].n_in_vain


def test_pairs_of_noise_that_are_compared_do_not_grow_with_the_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(near_copy_search, "_IN_VAIN", (0, 1))
    monkeypatch.setattr(near_copy_search, "_CHUNK", 64)
    for n in (500, 1000):
        assert pairs_of_noise(n, monkeypatch) <= n + 64  # those before the bounds were narrowed
    monkeypatch.setattr(near_copy_search, "_IN_VAIN", (10**9, 0))
    assert pairs_of_noise(1000, monkeypatch) > 3000


@pytest.mark.parametrize("n_shown", [0, 1, 3])
def test_blank_images_are_no_near_copies(n_shown: int) -> None:
    blank = torch.arange(10, 20, dtype=torch.uint8)[:, None, None, None].expand(10, 1, 32, 32)
    darker = frames(n_shown, 0.0) - torch.arange(n_shown, dtype=torch.uint8)[:, None, None, None]
    images = torch.cat([blank[:5], darker, blank[5:]])
    expected = number_groups(np.array([0, 1, 2, 3, 4, *[99] * n_shown, 5, 6, 7, 8, 9]))
    np.testing.assert_array_equal(find_copies(images).groups, expected)
    parts = [(part, np.arange(len(part))) for part in (images[:6], images[6:])]
    groups, _ = find_near_copies(parts, known=np.arange(6))
    np.testing.assert_array_equal(number_groups(groups), expected)


@pytest.mark.parametrize(("noise", "n_alike"), [(2, 1900), (12, 0)], ids=["alike", "other pixels"])
def test_few_pairs_of_frames_of_a_fixed_camera_are_compared_one_by_one(
    noise: float, n_alike: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, n_pairs = 1900, 0
    compare = NearCopySearch._compare_pairs

    def counted(search: NearCopySearch, pairs: NDArray[np.int64]) -> None:
        nonlocal n_pairs
        n_pairs += len(pairs)
        compare(search, pairs)

    monkeypatch.setattr(NearCopySearch, "_compare_pairs", counted)
    copies = find_copies(frames(n, noise))
    assert n_pairs < 0.01 * n * (n - 1) / 2  # the others by products of whole tiles, or not at all
    assert (copies.n_copies, copies.n_alike) == (0, n_alike)


def test_images_that_are_like_too_many_others_are_counted_and_not_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(near_copy_search, "MOST_DIFFERENT", 30)
    alike, others = frames(200, 12), frames(40, 0.0, seed=1, cameras=20)
    others[20:] = (others[20:].int() * 4 // 5).byte()  # darker
    copies = find_copies(torch.cat([others, alike]))
    assert copies.n_near_copies == 20
    assert 100 < copies.n_alike <= 200
    assert any(
        note.startswith(f"{copies.n_alike} of the 240 images are so alike")
        for note in copies.notes("image", "images")
    )


def test_more_images_than_are_searched_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    images = frames(40, 0.0, cameras=20)
    images[20:] = (images[20:].int() * 4 // 5).byte()
    arrays = Arrays(images, torch.arange(40) % 2)
    assert "20 of the 40 images are near-copies" in group_copies(arrays)[1][0]
    for module in ("near_copies", "duplicates"):
        monkeypatch.setattr(f"dilution.data.{module}.MAX_IMAGES", 39)
    grouped, notes = group_copies(arrays)
    assert notes == (
        "near-copies are sought among at most 39 different images, and these are 40: images that were "
        "compressed again may lie on both sides of a split",
    )
    assert grouped.split_groups is None
    assert group_copies(arrays, near=False)[1] == ()
    small = Arrays(images[:, :, :15, :15], arrays.labels)
    assert group_copies(small)[1] == ()  # too few pixels for near-copies in any case
