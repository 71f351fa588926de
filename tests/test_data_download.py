"""Downloads: what is given its name, where it may be written. Requests are in test_data_mirror_request.py.

Mirrors that fail are in faults/.
"""

import hashlib
import os
import stat

import pytest
from mirrors import mirrors

from dilution.data import mirror_request
from dilution.data.download import download
from dilution.errors import DataError, InputError

CONTENT = b"x" * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def send(_):
    return 200, CONTENT, len(CONTENT)


def send_other(_):
    return 200, b"y" * 5000, 5000


def test_the_right_content_gets_its_name(tmp_path):
    with mirrors() as serve:
        path = download("file", SHA256, tmp_path / "new", [serve(send)])
    assert path == tmp_path / "new" / "file"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("_MAX_BYTES", 4096, "sent more than 0 MiB"), ("_MAX_SECONDS", -1.0, "took more than")],
)
def test_a_mirror_beyond_a_limit_is_given_up_and_nothing_is_left(
    tmp_path, monkeypatch, limit, value, message
):
    monkeypatch.setattr(mirror_request, limit, value)
    with mirrors() as serve, pytest.raises(DataError, match=message):
        download("file", SHA256, tmp_path, [serve(send)])
    assert list(tmp_path.iterdir()) == []


def test_the_reasons_of_all_mirrors_are_named(tmp_path):
    with mirrors() as serve, pytest.raises(DataError, match=r"sent other content; .*HTTP 404.*by hand"):
        download("file", SHA256, tmp_path, [serve(send_other), serve(lambda _: (404, b"", 0))])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_downloaded_by_hand_is_used(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    assert download("file", SHA256, tmp_path, ["http://127.0.0.1:9/"]) == tmp_path / "file"


def test_a_file_of_other_content_is_replaced_once_the_right_one_is_there(tmp_path):
    (tmp_path / "file").write_bytes(b"other")
    with mirrors() as serve:
        with pytest.raises(DataError):
            download("file", SHA256, tmp_path, [serve(send_other)])
        assert (tmp_path / "file").read_bytes() == b"other"
        download("file", SHA256, tmp_path, [serve(send)])
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").symlink_to(precious)
    with mirrors() as serve:
        download("file", SHA256, tmp_path / "data", [serve(send)])
    assert precious.read_bytes() == b"kept"
    assert not (tmp_path / "data" / "file").is_symlink()
    assert (tmp_path / "data" / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_downloaded_into_a_folder_that_is_a_link(tmp_path, exists):
    elsewhere = tmp_path / "elsewhere"
    if exists:
        elsewhere.mkdir()
        (elsewhere / "file").write_bytes(b"kept")
    (tmp_path / "data").symlink_to(elsewhere)
    with mirrors() as serve, pytest.raises(DataError, match="is a link, and files are downloaded there"):
        download("file", SHA256, tmp_path / "data", [serve(send)])
    assert not exists or [path.read_bytes() for path in elsewhere.iterdir()] == [b"kept"]
    assert elsewhere.exists() == exists


def test_a_folder_above_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    with mirrors() as serve:
        download("file", SHA256, tmp_path / "root" / "data", [serve(send)])
    assert (tmp_path / "disk" / "data" / "file").read_bytes() == CONTENT


def test_a_folder_in_the_place_of_a_file_is_kept(tmp_path):
    (tmp_path / "file").mkdir()
    with mirrors() as serve, pytest.raises(InputError, match="is a folder, and a file is written there"):
        download("file", SHA256, tmp_path, [serve(send)])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_while_a_file_is_downloaded_nobody_else_can_foresee_or_reach_it(tmp_path):
    seen = []

    def watch(_):
        (inside,) = tmp_path.iterdir()
        seen.append((inside.name, stat.S_IMODE(inside.stat().st_mode)))
        return send_other(_)

    with mirrors() as serve:
        for _ in range(2):
            with pytest.raises(DataError):
                download("file", SHA256, tmp_path, [serve(watch)])
    (first, mode), (second, _) = seen
    assert first != second
    assert first.startswith(".download-")
    assert os.name != "posix" or mode == 0o700


def test_links_that_another_user_puts_in_the_place_of_a_part_are_not_followed(tmp_path):
    """In a folder that others may write to, they can put another folder in the place of the temporary one."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    data = tmp_path / "data"

    def replace_folder(_):
        (inside,) = data.glob(".download-*")
        inside.rename(tmp_path / "moved")
        inside.mkdir()
        for name in ("0", "1", "file"):
            (inside / name).symlink_to(precious)
        return send_other(_)

    with mirrors() as serve, pytest.raises(DataError):
        download("file", SHA256, data, [serve(replace_folder), serve(send)])
    assert precious.read_bytes() == b"kept"
