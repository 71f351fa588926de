"""Search of a folder for images: entries of systems, links, and what is counted."""

import os
from pathlib import Path

import pytest

from dilution.data.formats.image_listing import list_images
from dilution.data.formats.image_notes import Event, Kind, describe_events
from dilution.data.formats.image_tree import find_images
from dilution.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def kinds(root: Path) -> dict[str, str]:
    return {event.name: event.kind for event in find_images(root).events}


@pytest.mark.parametrize("depth", ["", "cat/", "cat/deep/er/"])
@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX", "@eaDir", ".ipynb_checkpoints", ".git", "#recycle", "lost+found", "LOST+FOUND",
        "__pycache__", "$RECYCLE.BIN", "System Volume Information", "@Recycle", ".Trash-1000", ".thumbnails",
        "#snapshot",
    ],
)  # fmt: skip
def test_folders_of_systems_are_none_of_the_data_at_any_depth(tmp_path: Path, name: str, depth: str) -> None:
    touch(tmp_path, "cat/1.png", "dog/1.png", f"{depth}{name}/cat/1.png", f"{depth}{name}/2.png")
    tree = find_images(tmp_path)
    assert tree.images == ("cat/1.png", "dog/1.png")
    assert tree.events == (Event(Kind.HIDDEN_FOLDER, f"{depth}{name}"),)
    assert list_images(tmp_path).classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["Thumbs.db", "THUMBS.DB", "desktop.ini", ".DS_Store", "._1.png", ".x.jpg"])
def test_files_of_systems_are_counted_as_hidden(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "cat/1.png", f"cat/{name}")
    assert kinds(tmp_path) == {f"cat/{name}": Kind.HIDDEN_FILE}


def test_a_class_may_have_a_name_like_that_of_a_system(tmp_path: Path) -> None:
    touch(tmp_path, "#1/1.png", "@home/1.png", "_x/1.png", "$/1.png", "lost and found/1.png")
    assert list_images(tmp_path).classes == ("#1", "$", "@home", "_x", "lost and found")


def test_images_are_in_the_order_of_their_names_folder_by_folder(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.png", "a/b/2.png", "a/b.png", "a/b-/1.png", "a b/1.png", "a/10.png", "a/9.png")
    expected = ["a/10.png", "a/9.png", "a/b/2.png", "a/b-/1.png", "a/b.png", "a b/1.png", "b/x.png"]
    assert list(find_images(tmp_path).images) == sorted(expected, key=lambda name: name.split("/"))


def test_links_to_folders_are_followed_and_each_folder_is_read_once(tmp_path: Path) -> None:
    touch(
        tmp_path, "elsewhere/cats/1.png", "elsewhere/cats/deep/2.png", "root/dog/1.png", "root/dog/sub/2.png"
    )
    root = tmp_path / "root"
    (root / "cat").symlink_to("../elsewhere/cats")
    (root / "aaa").symlink_to("dog")  # the folder has a name of its own below the root
    (root / "kitty").symlink_to("../elsewhere/cats")  # the first link has the folder
    tree = find_images(root)
    assert tree.images == ("cat/1.png", "cat/deep/2.png", "dog/1.png", "dog/sub/2.png")
    assert kinds(root) == {"aaa": Kind.REPEATED_FOLDER, "kitty": Kind.REPEATED_FOLDER}
    assert list_images(root).classes == ("cat", "dog")


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "/", "../dog"])
def test_links_that_lead_back_end(tmp_path: Path, target: str) -> None:
    root = tmp_path / "a" / "root"
    touch(root, "cat/1.png", "dog/1.png")
    (root / "cat" / "loop").symlink_to(target)
    (root / "dog" / "loop").symlink_to("../cat")
    assert find_images(root).images == ("cat/1.png", "dog/1.png")
    assert kinds(root) == {"cat/loop": Kind.REPEATED_FOLDER, "dog/loop": Kind.REPEATED_FOLDER}


def test_links_between_folders_do_not_multiply(tmp_path: Path) -> None:
    for number in range(30):
        touch(tmp_path, f"d{number}/x.png")
        for link in "ab":
            (tmp_path / f"d{number}" / link).symlink_to(f"../d{(number + 1) % 30}")
    tree = find_images(tmp_path)  # there are 2³⁰ paths
    assert len(tree.images) == 30
    assert len(tree.events) == 60


def test_links_to_files_are_read_wherever_they_lead(tmp_path: Path) -> None:
    touch(tmp_path, "root/.store/1", "root/dog/1.png", "elsewhere.png")
    root = tmp_path / "root"
    (root / "cat").mkdir()
    (root / "cat" / "1.png").symlink_to("../.store/1")
    (root / "cat" / "2.png").symlink_to(tmp_path / "elsewhere.png")
    assert find_images(root).images == ("cat/1.png", "cat/2.png", "dog/1.png")


def test_dangling_links_are_counted_with_their_targets(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat" / "x.png").symlink_to("/not/mounted/x.png")
    (tmp_path / "fox").symlink_to("/not/mounted/fox")
    (tmp_path / "cat" / "y.png").symlink_to("y.png")
    listing = list_images(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert describe_events(listing.events) == (
        "3 links are skipped, the first is cat/x.png: No such file or directory: /not/mounted/x.png",
    )


def test_a_folder_that_cannot_be_opened_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "cat/1.png", "dog/1.png", "fox/1.png")
    scandir = os.scandir

    def refusing(path: str | Path) -> object:
        if str(path).endswith(("fox", "root")):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert find_images(tmp_path).images == ("cat/1.png", "dog/1.png")
    notes = " ".join(describe_events(list_images(tmp_path).events))
    assert "1 folder cannot be opened and is skipped, the first is fox: Permission denied" in notes
    (tmp_path / "root").mkdir()
    with pytest.raises(DataError, match=r"root cannot be opened \(Permission denied\). Check its name"):
        find_images(tmp_path / "root")


def test_every_kind_of_event_has_a_sentence_for_one_and_for_several() -> None:
    for kind in Kind:
        (one,) = describe_events([Event(kind, "a/x\n.png", "why\x1b")])
        (several,) = describe_events([Event(kind, "a/x.png", "why"), Event(kind, "b", "b, c")] * 600)
        assert one.startswith("1 ")
        assert several.startswith("1,200 ")
        assert one.isprintable()
        assert one[2:] != several[6:]
        assert r"a/x\x0a.png" in one
    (note,) = describe_events(Event(Kind.OTHER_FORMAT, "x", f".x{number}") for number in range(9))
    assert note.startswith(
        "9 images of formats that are not read (.x0, .x1, .x2, .x3, .x4, .x5, …) are skipped"
    )
