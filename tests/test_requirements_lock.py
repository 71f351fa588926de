"""requirements.lock, with which `make demo` installs: complete, with hashes, of the pinned versions."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
_WITHOUT_HASH = {"torch", "triton"}  # a build per platform and index


def _pinned(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text().splitlines()
    pins = [line.split(";")[0].strip(" \\").split("==") for line in lines if re.match(r"[\w.-]+==", line)]
    return {canonicalize_name(name): version for name, version in pins}


def test_the_lock_has_the_versions_of_the_constraints():
    locked, constrained = _pinned("requirements.lock"), _pinned("constraints.txt")
    assert len(locked) > 40
    assert {name: constrained[name] for name in locked if name in constrained} == {
        name: version for name, version in locked.items() if name in constrained
    }


def test_every_package_of_the_lock_has_a_hash():
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    packages = [entry for entry in entries if not entry.startswith("#")]
    assert len(packages) == len(_pinned("requirements.lock"))
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in packages)


def test_the_lock_holds_every_dependency_and_the_build_backend():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked, seen = _pinned("requirements.lock"), set[str]()
    assert {Requirement(text).name for text in project["build-system"]["requires"]} <= set(locked)
    wanted = list(project["project"]["dependencies"])
    while wanted:
        requirement = Requirement(wanted.pop())
        name = canonicalize_name(requirement.name)
        if name in seen or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        if name not in _WITHOUT_HASH and not name.startswith("nvidia-"):
            assert requirement.specifier.contains(locked[name]), name
        wanted += importlib.metadata.requires(name) or []


def test_make_installs_by_hash_and_pins_what_has_none():
    assert "--require-hashes -r requirements.lock" in (ROOT / "Makefile").read_text()
    assert set(_pinned("constraints.txt")) >= _WITHOUT_HASH
