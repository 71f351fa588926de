"""code_version: the revision is that of this package's own source, or none."""

import shutil
import subprocess

import pytest

from dilution.utils import version
from dilution.utils.version import code_version


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Copy the module to another repository, and return a function that runs git there."""
    package = tmp_path / "package"
    (package / "utils").mkdir(parents=True)
    shutil.copy(version.__file__, package / "utils" / "version.py")
    monkeypatch.setattr(version, "_PACKAGE", package)
    code_version.cache_clear()

    def run(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    run("init", "--quiet")
    (tmp_path / "other.txt").write_text("other")
    run("add", "other.txt")
    run("commit", "--quiet", "--message", "other")
    yield run
    code_version.cache_clear()


def commit_package(git):
    git("add", "package")
    git("commit", "--quiet", "--message", "package")


def test_an_installed_package_does_not_take_on_the_revision_of_another_repository(git):
    assert "(" not in code_version()


def test_the_revision_ignores_changes_outside_the_package(git, tmp_path):
    commit_package(git)
    (tmp_path / "other.txt").write_text("changed")
    assert code_version().endswith(f"({git('rev-parse', '--short', 'HEAD')})")


@pytest.mark.parametrize("file", ["utils/version.py", "training/new.py"])
def test_a_change_anywhere_in_the_package_is_reported(git, tmp_path, file):
    commit_package(git)
    path = tmp_path / "package" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("# changed")
    assert code_version().endswith("-changed)")


def test_there_is_no_revision_without_git(git, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "(" not in code_version()
