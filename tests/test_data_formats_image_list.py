"""CSV files that list images: paths, labels, what is left out, and the content that identifies a run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dilution.data import fingerprint, load, load_unsplit
from dilution.errors import DilutionError


@pytest.fixture
def listed(tmp_path):
    """Write 20 images and their list; one has no label, one file does not exist; return its path."""
    (tmp_path / "img").mkdir()
    rows = []
    for k in range(20):
        pixels = np.random.default_rng(k).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "img" / f"{k}.png")
        rows.append((f"img/{k}.png", "" if k == 4 else "ab"[k % 2], f"q{k}"))
    rows.append(("img/none.png", "a", "q20"))
    path = tmp_path / "list.csv"
    pd.DataFrame(rows, columns=["path", "label", "shot"]).to_csv(path, index=False)
    return path


def test_images_are_read_in_the_order_of_the_list(listed):
    examples = load_unsplit(f"{listed}#size=16")
    kept = [k for k in range(20) if k != 4]
    assert examples.arrays.shape == (3, 16, 16)
    assert examples.positions.tolist() == kept
    assert examples.names == tuple(f"img/{k}.png" for k in kept)
    assert [examples.arrays.classes[k] for k in examples.arrays.labels] == ["ab"[k % 2] for k in kept]
    first = np.asarray(Image.open(listed.parent / "img/0.png")).transpose(2, 0, 1)
    assert np.array_equal(examples.arrays.images[0].numpy(), first)
    notes = " ".join(examples.notes)
    for note in ("1 row has no label", "1 column is left out beside the images: shot", "1 file is skipped"):
        assert note in notes


def test_ids_name_images_and_their_paths_are_places(listed):
    examples = load_unsplit(f"{listed}#ids=shot,size=16")
    assert examples.names[:2] == ("q0", "q1")
    assert examples.places[:2] == ("img/0.png", "img/1.png")


def test_a_list_has_a_test_split_and_the_content_of_its_images_identifies_it(listed):
    data, before = load(listed), fingerprint(listed)
    assert (len(data.train) + len(data.test), data.name) == (19, "list")
    Image.new("RGB", (16, 16), "red").save(listed.parent / "img" / "0.png")
    assert fingerprint(listed) != before


def test_an_image_may_be_listed_twice(listed):
    frame = pd.read_csv(listed)
    pd.concat([frame, frame.head(1)]).to_csv(listed, index=False)
    names = load_unsplit(listed).names
    assert len(set(names)) == len(names) == 20


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("path,label\nno.png,a\nnot.png,b\n", "", "none of the 2 images can be read.*Paths are relative to"),
        ("path,label\nno.png,a\n,b\n", "", "row 3 has no path in column 'path'"),
        ("path,label\nno.png,a\nnot.png,b\n", "#size=0", "size is '0'.*Give 48"),
        ("path,kind\nno.png,a\nnot.png,b\n", "", "there is no column 'label'"),
    ],
)
def test_lists_that_break_a_rule_are_refused(tmp_path: Path, content, options, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DilutionError, match=message):
        load_unsplit(f"{tmp_path / 't.csv'}{options}")


def test_a_table_with_names_that_are_no_paths_stays_a_table(tmp_path):
    rows = "".join(f"{'uv'[k // 2 % 2]},{k % 7},{'ab'[k % 2]}\n" for k in range(40))
    (tmp_path / "t.csv").write_text(f"image,x,label\n{rows}")
    assert load_unsplit(tmp_path / "t.csv").arrays.shape == (3, 1, 1)
