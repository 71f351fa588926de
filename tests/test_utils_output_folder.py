"""Folders of results: files of others and changed files stay as they are."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.errors import InputError
from dilution.utils.output_folder import MARKER, claim, write_output

NAMES = ("index.html", "README.md", "runs.csv")


def test_a_new_folder_is_created_and_its_files_are_written_again_and_again(tmp_path: Path) -> None:
    folder = claim(tmp_path / "new" / "out", NAMES)
    for content in (b"first", b"second"):
        assert claim(folder, NAMES) == folder
        assert write_output(folder / "index.html", content).read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == [MARKER, "index.html"]


def test_a_file_of_somebody_else_is_refused_before_and_after_the_work(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"has README.md, which dilution has not written") as caught:
        claim(tmp_path, NAMES)
    assert "--overwrite" in str(caught.value)
    with pytest.raises(InputError, match=r"README.md"):
        write_output(tmp_path / "README.md", b"ours")
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_file_that_somebody_changed_is_theirs(tmp_path: Path) -> None:
    write_output(tmp_path / "runs.csv", b"a,b\n")
    with (tmp_path / "runs.csv").open("a") as file:
        file.write("checked by me\n")
    with pytest.raises(InputError, match=r"runs.csv"):
        claim(tmp_path, NAMES)


def test_with_overwrite_files_are_replaced_and_then_belong_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    claim(tmp_path, NAMES, overwrite=True)
    write_output(tmp_path / "README.md", b"ours")
    assert claim(tmp_path, NAMES) == tmp_path
    assert (tmp_path / "README.md").read_bytes() == b"ours"


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_link_is_followed(tmp_path: Path, overwrite: bool) -> None:
    target = tmp_path / "valuable"
    target.write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").symlink_to(target)
    if overwrite:
        claim(out, NAMES, overwrite=True)
        write_output(out / "index.html", b"ours")
        assert not (out / "index.html").is_symlink()
    else:
        with pytest.raises(InputError, match=r"index.html"):
            claim(out, NAMES)
    assert target.read_text() == "mine"


@given(st.binary(max_size=200) | st.sampled_from([b'{"files": []}', b'{"files": {"index.html": 1}}', b"[]"]))
def test_a_damaged_list_makes_files_foreign_and_harms_nothing(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_output(folder / "index.html", b"ours")
        (folder / MARKER).write_bytes(content)
        with pytest.raises(InputError, match=r"index.html"):
            claim(folder, NAMES)
        claim(folder, NAMES, overwrite=True)
        assert write_output(folder / "index.html", b"new").read_bytes() == b"new"
