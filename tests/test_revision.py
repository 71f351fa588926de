"""Provenance: the revision is that of this package's own source, or none."""

import shutil
import subprocess

import pytest

from dilution.utils import version
from dilution.utils.version import code_version


@pytest.fixture
def placed(tmp_path, monkeypatch):
    """A copy of the module in somebody's repository, and a way to run git there."""
    package = tmp_path / "package"
    package.mkdir()
    shutil.copy(version.__file__, package / "revision.py")
    monkeypatch.setattr(version, "_PACKAGE", package)
    code_version.cache_clear()

    def git(*arguments):
        who = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "other.txt").write_text("mine")
    git("add", "other.txt")
    git("commit", "--quiet", "--message", "mine")
    yield git
    code_version.cache_clear()


def test_a_package_in_somebodys_repository_does_not_take_on_its_revision(placed):
    assert "(" not in code_version()


def test_a_versioned_package_gives_its_revision_whatever_else_has_changed(placed, tmp_path):
    placed("add", "package")
    placed("commit", "--quiet", "--message", "package")
    (tmp_path / "other.txt").write_text("changed")
    assert code_version().endswith(f"({placed('rev-parse', '--short', 'HEAD')})")


def test_a_changed_package_says_so(placed, tmp_path):
    placed("add", "package")
    placed("commit", "--quiet", "--message", "package")
    (tmp_path / "package" / "revision.py").write_text("# changed")
    assert code_version().endswith("-changed)")


def test_without_git_there_is_no_revision(placed, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "(" not in code_version()
