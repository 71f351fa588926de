"""Atomic writes: a whole file or the old one, and folders that cannot be written to."""

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from dilution.errors import DilutionError, InputError
from dilution.utils.atomic import check_writable, write_atomic


def test_a_file_is_written_with_its_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    assert write_atomic(path, b"first") == path
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_keeps_the_old_file_and_leaves_no_partial_one(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_atomic(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DilutionError, match="could not be written"):
            write_atomic(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert path.read_bytes() == b"old"


def test_a_failed_rename_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(part: Path, target: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(DilutionError, match="Read-only"):
        write_atomic(tmp_path / "fig.svg", b"content")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_created_and_tested(tmp_path: Path) -> None:
    assert check_writable(tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DilutionError, match=r"file cannot be written to: File exists\. Choose a folder"):
        check_writable(tmp_path / "file")


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "valuable").write_text("mine")
    (tmp_path / "page.html").symlink_to(tmp_path / "valuable")
    write_atomic(tmp_path / "page.html", b"new")
    assert (tmp_path / "valuable").read_text() == "mine"
    assert not (tmp_path / "page.html").is_symlink()


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_file_has_the_permissions_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "page.html", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o666 & ~umask


def test_temporary_names_are_not_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []

    def record(part: Path, target: Path) -> None:
        names.append(part.name)
        part.unlink()

    monkeypatch.setattr(Path, "replace", record)
    for _ in range(2):
        write_atomic(tmp_path / ("ü" * 120), b"content")
    assert names[0] != names[1]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_is_not_replaced(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    make(path)
    kind = path.stat().st_mode
    with pytest.raises(InputError, match=r"runs\.csv is a .*; only files are replaced"):
        write_atomic(path, b"new")
    assert path.stat().st_mode == kind
    assert list(tmp_path.iterdir()) == [path]
