import base64
import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from reviews import examples_of_images, label_issues, write_table

from dilution.data import Arrays, UnsplitData, load_unsplit
from dilution.data.formats.image_decoding import decode_whole_image
from dilution.errors import InputError
from dilution.review.contents import read_contents
from dilution.review.items import collect_items


def decoded(uri: str) -> Image.Image:
    kind, _, content = uri.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert kind == f"data:image/{str(image.format).lower()}"
    return image


def test_small_images_are_shown_pixel_by_pixel():
    examples = examples_of_images()
    contents = read_contents(examples, np.array([3, 1]))
    for uri, number in zip(contents.images, (3, 1), strict=True):
        assert np.array_equal(np.asarray(decoded(uri)), examples.arrays.images[number, 0].numpy())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_images_of_any_range_and_number_of_channels_are_shown(channels, scale):
    images = torch.rand(2, channels, 20, 30) * scale - (scale > 1) * 500
    examples = UnsplitData(Arrays(images, torch.tensor([0, 1])))
    image = decoded(read_contents(examples, np.array([0])).images[0])
    assert image.size == (30, 20)
    assert image.mode == ("L" if channels < 3 else "RGB")
    assert np.ptp(np.asarray(image)) > 150


def test_photographs_of_a_folder_are_shown_whole(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.random.default_rng(number).integers(0, 256, (60, 640, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    name = str(tmp_path / "pets")
    examples = load_unsplit(name)
    assert decoded(read_contents(examples, np.array([0]), name).images[0]).size == (320, 30)
    (tmp_path / "pets" / "cat" / "0.png").unlink()  # the image that the models saw is shown instead
    assert decoded(read_contents(examples, np.array([0]), name).images[0]).size == (32, 32)


def test_photographs_are_upright_and_deep_pixels_are_scaled(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: lying on its side
    Image.new("RGB", (400, 100), "red").save(tmp_path / "lying.jpg", exif=exif)
    Image.fromarray(np.linspace(1000, 9000, 10_000).astype(np.uint16).reshape(100, 100)).save(
        tmp_path / "deep.png"
    )
    assert decode_whole_image(tmp_path / "lying.jpg", 200).shape == (200, 50, 3)
    deep = decode_whole_image(tmp_path / "deep.png", 50)
    assert deep.shape == (50, 50, 3)
    assert deep.min() <= 2  # the range of the file is stretched to 0 … 255; scaling averages its ends
    assert deep.max() >= 253


def test_rows_of_a_table_are_shown_as_they_are_in_the_file(tmp_path):
    (tmp_path / "t.csv").write_text("code,label,x\n007,a,1.50\n008,,2\n009,b,\n010,a,3\n011,b,4\n")
    name = f"{tmp_path / 't.csv'}#label"
    contents = read_contents(load_unsplit(name), np.array([0, 1]), name, None)
    assert contents.columns != ()  # features, since cells were not asked for
    examples = load_unsplit(name)
    items, _ = collect_items(label_issues(examples), name)
    assert items.contents.columns == ("code", "x")
    assert items.contents.cells[:2] == (("007", "1.50"), ("009", ""))  # row 3 has no label


def test_features_without_names_are_numbered():
    examples = UnsplitData(
        Arrays(torch.tensor([[0.5, 2.0], [1.0, 3.0]])[:, :, None, None], torch.tensor([0, 1]))
    )
    contents = read_contents(examples, np.array([1]))
    assert contents.columns == ("feature 0", "feature 1")
    assert contents.cells == (("1", "3"),)


def test_columns_beside_the_label_issues_are_shown_and_those_of_the_diagnosis_are_not():
    features = torch.rand(12, 2, 1, 1)
    examples = UnsplitData(Arrays(features, torch.arange(12) % 3, ("cat", "dog", "owl")))
    issues = label_issues(examples).assign(town="Bern", weight=0.5, state="")
    items, _ = collect_items(issues, examples)
    assert items.contents.columns == ("town",)


def test_long_cells_and_many_columns_are_cut_with_a_note():
    cells = pd.DataFrame([["x" * 5000, *range(400)]] * 12, columns=["text", *map(str, range(400))])
    examples = examples_of_images()
    contents = collect_items(label_issues(examples), examples, cells=cells)[0].contents
    assert len(contents.columns) == 300
    assert len(contents.cells[0][0]) == 4001
    assert contents.notes == (
        "the first 300 of 401 columns are shown",
        "12 cells are cut to 4,000 characters",
    )


def test_cells_are_one_row_per_example(tmp_path):
    examples = write_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match="cells has 3 rows for 12 examples"):
        collect_items(label_issues(examples), examples, cells=pd.DataFrame({"a": [1, 2, 3]}))
