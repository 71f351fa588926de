"""Folders of results: files of others and changed files stay as they are."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.errors import DataError, InputError
from dilution.utils.output_folder import MARKER, claim, file_digest, is_own_output, replace_work, write_output

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


def test_work_of_a_person_is_replaced_only_as_it_was_read_and_stays_theirs(tmp_path: Path) -> None:
    path = write_output(tmp_path / "label_issues.csv", b"a\n")
    path.write_text("a,checked\n")
    digest = file_digest(path)
    path.write_text("a,checked again\n")
    with pytest.raises(InputError, match=r"label_issues.csv was changed after it was read"):
        replace_work(path, b"new", digest)
    assert path.read_text() == "a,checked again\n"
    replace_work(path, b"new, and checked again", file_digest(path))
    assert path.read_bytes() == b"new, and checked again"
    assert not is_own_output(path)
    with pytest.raises(InputError, match=r"label_issues.csv"):
        write_output(path, b"newer")
    target = path.rename(tmp_path / "mine.csv")
    path.symlink_to(target)
    with pytest.raises(InputError, match=r"stays as it is"):
        replace_work(path, b"newer", file_digest(path))
    with pytest.raises(DataError, match=r"cannot be read"):
        file_digest(tmp_path / "nothing.csv")


OBSTACLES = {"folder": Path.mkdir, "pipe": os.mkfifo}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make", OBSTACLES.values(), ids=OBSTACLES)
@pytest.mark.parametrize("name", ["index.html", MARKER])
def test_what_is_no_file_is_refused_before_the_work_and_never_replaced(
    name: str, make: Callable[[Path], None], overwrite: bool, tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name} is a (folder|pipe).*only files are replaced"):
        claim(tmp_path, NAMES, overwrite=overwrite)
    with pytest.raises(InputError, match=name):
        write_output(tmp_path / name.replace(MARKER, "runs.csv"), b"ours")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not (tmp_path / name).is_file()


@pytest.mark.parametrize(
    "content",
    [b"precious", b'{"files":' + b"[" * 100_000, b'{"files": {"a": 1}}', b"9" * 5000, b"x" * 2_000_000],
    ids=["text", "deep", "other types", "digits", "long"],
)
def test_a_foreign_list_is_replaced_only_with_overwrite(content: bytes, tmp_path: Path) -> None:
    (tmp_path / MARKER).write_bytes(content)
    for call in (lambda: claim(tmp_path, NAMES), lambda: write_output(tmp_path / "new.csv", b"ours")):
        with pytest.raises(InputError, match=rf"has {MARKER}, which dilution has not written"):
            call()
    assert (tmp_path / MARKER).read_bytes() == content
    claim(tmp_path, NAMES, overwrite=True)
    write_output(tmp_path / "index.html", b"ours")
    assert is_own_output(tmp_path / "index.html")


def test_a_list_that_is_a_link_to_a_device_is_not_read(tmp_path: Path) -> None:
    (tmp_path / MARKER).symlink_to("/dev/zero")
    with pytest.raises(InputError, match=MARKER):
        claim(tmp_path, NAMES)
    assert (tmp_path / MARKER).is_symlink()


def test_a_large_foreign_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_bytes(b"x")
    monkeypatch.setattr("dilution.utils.output_folder.file_digest", lambda _: pytest.fail("was read"))
    with pytest.raises(InputError, match=r"index\.html"):
        claim(tmp_path, NAMES)


def test_files_of_another_command_are_those_of_others(tmp_path: Path) -> None:
    claim(tmp_path, ("index.html", "plan.json"), command="plan")
    write_output(tmp_path / "index.html", b"a plan")
    claim(tmp_path, ("index.html", "plan.json"), command="plan")
    claim(tmp_path, ("diagnosis.json",), command="diagnose")
    with pytest.raises(InputError, match=r"has index.html of `dilution plan`. Choose another --out"):
        claim(tmp_path, ("index.html", "diagnosis.json"), command="diagnose")
    assert (tmp_path / "index.html").read_bytes() == b"a plan"
    claim(tmp_path, ("index.html",), command="diagnose", overwrite=True)
    write_output(tmp_path / "index.html", b"a diagnosis")
    claim(tmp_path, ("index.html",), command="diagnose")
    with pytest.raises(InputError, match="of `dilution diagnose`"):
        claim(tmp_path, ("index.html",), command="plan")


def test_files_whose_command_is_unknown_are_of_any(tmp_path: Path) -> None:
    """Lists of earlier versions name no commands."""
    write_output(tmp_path / "index.html", b"old")
    assert claim(tmp_path, ("index.html",), command="report") == tmp_path
