import numpy as np
import pytest
from commands import dilution, refused, succeeded


def test_check_reports_absent_files_and_exits_with_1(tmp_path):
    result = dilution("data", "check", "mnist", "--data-root", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.count("missing") == 4
    assert "dilution data fetch mnist" in result.stdout


def test_check_of_a_built_in_data_set_says_that_it_has_no_files():
    assert succeeded(dilution("data", "check", "digits")) == "digits is built in; it has no files.\n"


def test_pack_writes_a_file_and_prints_its_number_of_images(tmp_path):
    printed = succeeded(dilution("data", "pack", "digits", "digits.pack", cwd=tmp_path))
    assert printed.startswith("1,437 + 360 images, ")
    assert (tmp_path / "digits.pack").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("digits digits.bin", "digits.bin does not end in .pack. Write to digits.pack instead"),
        ("digits there.pack", "there.pack exists; a finished pack is not overwritten"),
        (
            "digits new.pack --size 8",
            "digits is not a folder and does not exist; --size, --crops and --workers",
        ),
        ("mine.npz new.pack --crops 2", "mine.npz is not a folder; --size"),
        ("folder new.pack", "folder is a folder; its images need one size in pixels. Add --size 224"),
        ("dgits new.pack", "Did you mean 'digits'"),
    ],
)
def test_pack_refuses_what_it_cannot_write(tmp_path, line, message):
    (tmp_path / "there.pack").touch()
    (tmp_path / "folder").mkdir()
    np.savez(tmp_path / "mine.npz", features=np.zeros((2, 2)), labels=np.arange(2))
    refused(dilution("data", "pack", *line.split(), cwd=tmp_path), message)
    assert not (tmp_path / "new.pack").exists()
